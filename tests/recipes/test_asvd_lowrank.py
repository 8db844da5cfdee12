"""ASVD: factors against a plain SVD, the search of ranks by hand, and guards that notice a lost scale."""

import pytest
import torch

from reproduce.recipes.blocks import tinygpt
from reproduce.recipes.blocks.teacher import Teacher, linears
from reproduce.recipes.blocks.text import Text
from tests.recipes.conftest import context_of, failed, part

factors, quality = (part("asvd-lowrank", name) for name in ("factors", "quality"))


@pytest.fixture
def untaught():
    shape = tinygpt.Shape(layers=1, width=64, heads=2, length=32)
    text = Text.from_bytes(bytes(range(256)) * 40, bytes(range(256)) * 4, torch.device("cpu"))
    return Teacher(tinygpt.TinyGPT(shape).requires_grad_(False), text, text.held_out(20, 32))


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (32, 32)])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_factors_are_the_best_of_their_rank_for_the_scaled_weight(shape, scaled):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(shape, dtype=torch.float64, generator=generator)
    scale = torch.rand(shape[1], dtype=torch.float64, generator=generator) + 0.2 if scaled else None
    left, right = factors.Basis.of(weight, scale).cut(0.5)
    u, s, v = torch.linalg.svd(weight if scale is None else weight * scale, full_matrices=False)
    rank = factors.rank_of(shape, 0.5)
    best = (u[:, :rank] * s[:rank]) @ v[:rank]
    found = left @ right if scale is None else left @ right * scale
    assert torch.allclose(found, best, atol=1e-9)
    assert left.numel() + right.numel() <= 0.5 * weight.numel()


def test_the_search_spares_the_sensitive_layer(untaught):
    names = [name for name, _ in linears(untaught.model)]
    losses = {name: {share: 1.0 - share for share in factors.SHARES} for name in names}
    losses[names[0]] = {share: 10.0 - share for share in factors.SHARES}
    shares = factors.searched(untaught.model, losses, 0.5)
    assert shares[names[0]] == 1.0
    assert max(shares[name] for name in names[1:]) < 0.6
    assert factors.kept_share(untaught.model, shares) <= 0.5


def test_sensitivities_leave_the_model_as_it_was(untaught):
    basis = factors.bases(untaught.model, None)
    tokens = untaught.calibration(0, 2)
    found = factors.sensitivities(untaught.model, basis, lambda model: model(tokens).square().mean().item())
    alone = factors.compressed(untaught.model, basis, {"0.feed_forward.up": 0.4})
    assert found["0.feed_forward.up"][0.4] == pytest.approx(alone(tokens).square().mean().item(), rel=1e-5)
    last = list(found)[-1]
    alone = factors.compressed(untaught.model, basis, {last: 0.2})
    assert found[last][0.2] == pytest.approx(alone(tokens).square().mean().item(), rel=1e-5)


def test_the_share_kept_with_little_loss_is_where_the_curve_crosses():
    tried = len(quality.TARGETS)
    assert quality.smallest_kept([0.0, 0.0, 0.04, 0.06, *[0.2] * (tried - 4)]) == pytest.approx(0.75)
    assert quality.smallest_kept([0.1] * tried) == pytest.approx(0.975)
    assert quality.smallest_kept([0.01] * tried) == quality.TARGETS[-1]


@pytest.mark.parametrize("wrong", [None, "scale", "rank", "vectors"])
def test_the_guards_notice_a_lost_scale_a_rank_too_high_and_skew_vectors(untaught, wrong, monkeypatch):
    true_of, true_cut, true_vectors = factors.Basis.of, factors.Basis.cut, factors._descending
    if wrong == "vectors":  # as far from orthonormal as a GPU's in fp32
        monkeypatch.setattr(
            factors, "_descending", lambda gram: true_vectors(gram) * (1 + 2e-4 * torch.rand(len(gram)))
        )
    if wrong == "scale":
        monkeypatch.setattr(factors.Basis, "of", lambda w, s=None: true_of(w if s is None else w * s))
    if wrong == "rank":
        monkeypatch.setattr(factors.Basis, "cut", lambda self, share: true_cut(self, share * 1.1))
    context = context_of("asvd-lowrank")
    quality.guard(context, untaught)
    assert (
        failed(context)
        == {None: set(), "scale": {"full_rank"}, "rank": {"counted"}, "vectors": {"full_rank"}}[wrong]
    )
