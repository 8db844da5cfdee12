"""QLoRA: the paper's bits, restoring against a plain table, training like full precision, and noticing faults."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part, value

nf4, adapted, checking, errors = (
    part("qlora-nf4", name) for name in ("nf4", "adapted", "checking", "errors")
)
CPU = torch.device("cpu")


def test_the_bits_are_those_of_the_papers_formula():
    """8 / 64 + 32 / (64 * 256) bits for scales instead of 32 / 64, but for one mean in all."""
    context = context_of("qlora-nf4", model="tiny")
    checking.count_bits(context)
    mean = 32 / 128**2
    assert value(context, "bits_saved") == pytest.approx(0.5 - 0.126953125 - mean, abs=1e-9)
    assert value(context, "bits_per_weight") == pytest.approx(4.126953125 + mean, abs=1e-9)


def test_every_weight_becomes_the_nearest_value_of_its_block():
    weight = torch.randn(128, 256, generator=torch.Generator().manual_seed(0))
    kept = nf4.Nf4Weight.of(weight)
    assert torch.allclose(kept.restored(torch.float32), checking._plainly(kept), atol=1e-6)
    scales = weight.view(-1, 64).abs().amax(1)
    assert ((kept.block_scales() - scales).abs() / scales).max() < 0.05
    gaps = torch.tensor(nf4.nf4()).diff().max() / 2
    step = kept.block_scales()[:, None] * gaps + 0.05 * scales[:, None]
    assert ((kept.restored(torch.float32) - weight).view(-1, 64).abs() <= step).all()


def test_llama_65b_has_its_parameters():
    sizes = adapted.SIZES["65b"]
    layers = sizes.layers * sum(outputs * inputs for outputs, inputs in sizes.matrices.values())
    assert layers + 2 * sizes.vocabulary * sizes.width == pytest.approx(65.2e9, rel=0.003)


def test_a_few_steps_lower_the_loss_and_move_adapters_only():
    sizes = adapted.SIZES["tiny"]
    model = adapted.Llama(sizes, 1, 8, torch.float32, CPU, four_bit=True)
    frozen = [t.clone() for t in model.kept() if not isinstance(t, torch.nn.Parameter)]
    optimizer, tokens = adapted.Adam(list(model.parameters()), rate=1e-2), torch.randint(256, (2, 33))
    before = model.loss(tokens).item()
    for _ in range(8):
        model.loss(tokens).backward()
        optimizer.step()
    assert model.loss(tokens).item() < before - 0.05
    after = [t for t in model.kept() if not isinstance(t, torch.nn.Parameter)]
    assert all(torch.equal(a, b) for a, b in zip(frozen, after, strict=True))


def test_our_adam_is_adam():
    parameter, other = (torch.nn.Parameter(torch.ones(5)) for _ in range(2))
    ours, theirs = adapted.Adam([parameter], rate=0.1), torch.optim.Adam([other], lr=0.1)
    for _ in range(4):
        for one in (parameter, other):
            one.grad = (one.detach() * torch.arange(5.0) - 1).clone()
        ours.step()
        theirs.step()
    assert torch.allclose(parameter, other, atol=1e-6)


@pytest.mark.parametrize("wrong", [None, "halves", "gradient"])
def test_the_guards_notice_swapped_halves_and_a_missing_gradient(wrong, monkeypatch):
    if wrong == "halves":
        true = nf4.Nf4Weight.restored

        def swapped(self, kind):
            return true(
                nf4.Nf4Weight(self.shape, self.packed << 4 | self.packed >> 4, *self.buffers[1:]), kind
            )

        monkeypatch.setattr(nf4.Nf4Weight, "restored", swapped)
    if wrong == "gradient":
        monkeypatch.setattr(
            adapted.Frozen,
            "backward",
            staticmethod(lambda ctx, g: (0.95 * (g @ ctx.weight.restored(g.dtype)), None)),
        )
    context = context_of("qlora-nf4")
    checking.guard(context)
    assert (
        failed(context) == {None: set(), "halves": {"product", "gradients"}, "gradient": {"gradients"}}[wrong]
    )


def test_on_normal_weights_nf4_errs_least():
    context = context_of("qlora-nf4")
    found = {name: errors._rmse(errors._normal(context, 0), name, 64) for name in errors.TYPES}
    assert min(found, key=found.get) == "nf4"
