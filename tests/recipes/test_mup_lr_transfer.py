"""muP: rates and starts are the paper's table, both ways agree at the base, guards see a wrong table."""

import pytest
import torch

from reproduce.recipes.blocks.fleet import Manner
from reproduce.recipes.blocks.text import Text
from tests.recipes.conftest import context_of, failed, part

SLUG = "mup-lr-transfer"
run, scaling, sweeping = (part(SLUG, name) for name in ("run", "scaling", "sweeping"))
SIZES = {"embedding": (256, 512), "qkv.0": (1536, 512), "down.0": (512, 2048), "head": (256, 512)}


@pytest.fixture
def text():
    letters = torch.randint(97, 105, (4000,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return Text(letters, letters[:1000])


def test_the_table_is_the_papers():
    wide, base = scaling.maximal_update(512, 64), scaling.maximal_update(64, 64)
    assert wide.rate("embedding", SIZES["embedding"]) == wide.rate("places", (128, 512)) == 1
    assert wide.rate("qkv.0", SIZES["qkv.0"]) == wide.rate("head", SIZES["head"]) == 1 / 8
    assert wide.deviation("head", SIZES["head"]) == pytest.approx(base.deviation("head", (256, 64)) / 8)
    assert wide.deviation("down.0", SIZES["down.0"]) == pytest.approx(2048**-0.5)
    assert wide.attention == pytest.approx(base.attention / 8)
    assert base.attention == pytest.approx((64 / scaling.HEADS) ** -0.5)


def test_drift_counts_octaves_between_the_best_rates():
    powers = [-10, -9, -8, -7]

    def at(best, count=4):
        losses = torch.tensor([[abs(power - best) + 0.1 * s for s in range(count)] for power in powers])
        return sweeping.Sweep(losses.double(), 1.0, 1.0)

    found = run.drift(powers, {64: at(-7), 128: at(-8), 256: at(-10)})
    assert (found.value, found.low, found.high) == (3.0, 3.0, 3.0)
    assert run.drift(powers, {64: at(-8), 256: at(-8)}).value == 0


def test_a_diverged_model_is_never_the_best(text):
    context = context_of(SLUG, powers=[-8, 2], steps=6)
    found = sweeping.sweep(context, text, "standard", 32)
    assert found.losses.shape == (2, context["seeds"])
    assert found.best() == 0
    assert found.flop == pytest.approx(
        6 * sweeping.build(context, "muP", 32, [0]).parameters() * 6 * 4 * 32 * 6
    )


def test_the_table_of_the_paper_passes_the_guards(text):
    context = context_of(SLUG, widths=[32, 64, 128], layers=2, batch=4)
    run.guard(context, text)
    assert failed(context) == set()


@pytest.mark.parametrize("wrong", ["output starts too wide", "hidden rates unscaled"])
def test_a_wrong_table_fails_the_guards(text, monkeypatch, wrong):
    honest = scaling.maximal_update

    def spoilt(width, base):
        found = honest(width, base)
        if wrong == "output starts too wide":
            return Manner(
                lambda n, s: found.deviation(n, s) * (1.01 if n == "head" else 1), found.rate, found.attention
            )
        return Manner(found.deviation, lambda name, size: 4.0 * width / base, found.attention)

    monkeypatch.setitem(scaling.WAYS, "muP", spoilt)
    broken = context_of(SLUG, widths=[32, 64, 128], layers=2, batch=4)
    run.guard(broken, text)
    assert failed(broken) == {"same_at_base" if wrong == "output starts too wide" else "flat_in_width"}
