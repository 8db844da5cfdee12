"""Cut cross-entropy: the same loss and gradients block by block, memory that does not grow with the logits."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from reproduce.recipes.memory import peak_bytes
from tests.recipes.conftest import context_of, failed, part

SLUG = "cce-loss-memory"
cut, cost, exactness = (part(SLUG, name) for name in ("cut", "cost", "exactness"))
CPU = torch.device("cpu")


@pytest.mark.parametrize("block", [7, 32, 1000])
def test_any_block_gives_pytorchs_loss_and_gradients(block):
    problem = cost.Problem.random(45, 64, 101, CPU)
    expected = functional.cross_entropy(problem.e @ problem.c.t(), problem.labels)
    torch.testing.assert_close(cut.loss(problem.e, problem.c, problem.labels, block), expected)
    found = problem.both(partial(cut.loss, block=block))
    for a, b in zip(found, problem.both(cost.eager), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def _without_label(e, c, labels, log_sum, scale, first):
    return ((e.float() @ c.float().t() - log_sum[:, None]).exp() * scale).to(e.dtype)


TRUE_SLOPES, TRUE_SUMS = cut.slopes, cut.log_sums
BREAKS = {
    "gradient_of_weights": ("slopes", _without_label),
    "length_of_features": ("slopes", lambda *given: 1.02 * TRUE_SLOPES(*given)),
    "loss": (
        "log_sums",
        lambda e, c, labels, block: TRUE_SUMS(e, c[:-1], labels.clamp(max=len(c) - 2), block),
    ),
}


@pytest.mark.parametrize("guard", [None, *BREAKS])
def test_a_broken_kernel_fails_its_guard(monkeypatch, guard):
    if guard:
        monkeypatch.setattr(cut, *BREAKS[guard])
    context = context_of(SLUG)
    exactness.check(context)
    assert guard in failed(context) if guard else not failed(context)


def test_memory_beyond_the_gradients_does_not_grow_with_the_vocabulary():
    extra = []
    for words in (2000, 4000):
        problem = cost.Problem.random(64, 64, words, CPU)
        gradients = 4 * 64 * (64 + words)
        extra.append(peak_bytes(partial(problem.both, partial(cut.loss, block=32)), CPU) - gradients)
    assert extra[1] < 1.1 * extra[0]
    assert extra[1] < 64 * 4000 * 4 / 4


def test_a_loss_that_is_scaled_scales_its_gradients():
    problem = cost.Problem.random(20, 64, 50, CPU)
    once = problem.both(partial(cut.loss, block=16))
    thrice = problem.both(lambda e, c, labels: 3 * cut.loss(e, c, labels, 16))
    torch.testing.assert_close(thrice[1], 3 * once[1])
