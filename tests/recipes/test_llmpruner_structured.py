"""Structured pruning: counts as printed, pruned is masked, and scores that keep what matters."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part, value

SLUG = "llmpruner-structured"
counts, shapes, slicing, recovery = (part(SLUG, n) for n in ("counts", "shapes", "slicing", "recovery"))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def counted():
    context = context_of(SLUG)
    counts.count(context)
    return {metric["name"]: metric for metric in context.metrics}


def test_macs_and_parameters_of_llama_are_those_in_table_3(counted):
    macs, sizes = (counted[name]["detail"]["counts"] for name in ("macs", "parameters"))
    assert macs["whole"] / 1e9 == pytest.approx(424.02, rel=1e-3)
    assert macs["channels, not rounded"] / 1e9 == pytest.approx(339.36, rel=1e-3)
    assert macs["blocks"] / 1e9 == pytest.approx(339.60, rel=1e-2)
    assert sizes["whole"] == 6_738_415_616
    assert sizes["channels, not rounded"] / 1e9 == pytest.approx(5.39, abs=0.005)


def test_rounding_to_eight_channels_changes_the_share_by_less_than_the_tolerance(counted):
    assert counted["parameters"]["detail"]["width"] == 3280
    assert counted["parameters"]["value"] == pytest.approx(0.8, rel=0.01)
    assert counted["macs"]["value"] == pytest.approx(0.8003, rel=0.01)


BREAKS = {
    "pruned_is_masked_channels": ("without_channels", lambda m, kept: _scaled(slicing.copy.deepcopy(m))),
    "pruned_is_masked_units": ("without_units", lambda m, units: slicing.copy.deepcopy(m)),
}


def _scaled(model):
    model.norm.weight.data.mul_(1.01)
    return model


@pytest.mark.parametrize("guard", [None, *BREAKS])
def test_a_model_with_other_parts_than_those_masked_fails_its_guard(monkeypatch, guard):
    if guard:
        monkeypatch.setattr(slicing, *BREAKS[guard])
    context = context_of(SLUG)
    slicing.check(context)
    assert failed(context) == ({guard} if guard else set())


def test_a_pruned_copy_is_as_small_as_the_shape_it_should_have():
    model = slicing.materialise(lambda: slicing.Decoder(slicing.TINY), CPU, torch.float32)
    kept = torch.arange(48)
    small = slicing.without_channels(model, kept)
    as_built = shapes.channels(slicing.TINY, 0.25).build()
    assert [p.shape for p in small.parameters()] == [p.shape for p in as_built.parameters()]
    assert model.tokens.weight.shape[1] == 64


def test_every_score_finds_a_head_and_a_unit_that_do_nothing():
    context = context_of(SLUG)
    model = slicing.materialise(lambda: slicing.Decoder(recovery._shape(context)), CPU, torch.float32)
    layer, width = model.layers[0], model.shape.head_width
    with torch.no_grad():
        for matrix in (
            layer.attention.qkv.weight[width : 2 * width],
            layer.attention.out.weight[:, width : 2 * width],
        ):
            matrix.mul_(1e-4)
        for net in (
            layer.feed_forward.gate.weight[5],
            layer.feed_forward.up.weight[5],
            layer.feed_forward.down.weight[:, 5],
        ):
            net.zero_()
        keys = layer.attention.qkv.weight.view(3, 4, width, -1)
        keys[1:, 1].mul_(1e-4)
    text = recovery.Text.from_bytes(bytes(range(256)) * 8, bytes(range(256)), CPU)
    for score in (recovery.taylor, recovery.magnitude):
        heads, units = recovery._chosen(model, text, score, 0)[0]
        assert heads == [0, 2, 3]
        assert 5 not in units


def test_the_memory_ratio_is_below_one_and_near_the_parameters():
    context = context_of(SLUG, shares=[20])
    ceilings = part(SLUG, "latency").Probe(half=1e12, single=1e12, eighth=None, copy=1e11, launch=0.0)
    part(SLUG, "latency").measure(context, ceilings)
    assert 0.6 < value(context, "memory") < 1
