"""Static caches against the plain model, the loop against its formulas, counts and greedy text."""

import pytest
import torch

from reproduce.recipes.blocks import decodestack, speculation
from reproduce.recipes.blocks.speculation import Loop, Shaped, Trained
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT


def small(seed, width=32):
    """A random model with opinions: its logits are far from equal."""
    model = TinyGPT(Shape(2, width, 2, 64, vocabulary=32), seed=seed).double().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(8 if parameter.dim() > 1 else 1)
    return model


def loop_of(batch=4, capacity=64, **how):
    models = [Trained(small(seed), batch, capacity) for seed in (0, 1)]
    history = torch.randint(32, (batch, capacity), generator=torch.Generator().manual_seed(0))
    made = Loop(*models, history=history, filled=torch.full((batch,), 8), **{"gamma": 3, **how})
    made.prefill()
    return made


@torch.no_grad()
def test_static_caches_at_different_places_give_the_models_own_logits():
    model = small(0)
    ids = torch.randint(32, (2, 20))
    cached = Trained(model, 2, 24)
    cached(ids[:, :12], torch.tensor([0, 0]))
    first = torch.tensor([5, 12])  # the first sequence goes back, as after a rejection
    found = cached(torch.stack([ids[0, 5:9], ids[1, 12:16]]), first)
    expected = torch.stack([model(ids[:1, :9])[0, 5:], model(ids[1:, :16])[0, 12:]])
    assert torch.allclose(found, expected, atol=1e-10)


@torch.no_grad()
def test_greedy_speculation_says_what_the_target_says():
    loop = loop_of()
    for _ in range(10):
        loop.iterate()
    model, known = small(0), loop.history[:, :8]
    for _ in range(10):
        known = torch.cat((known, model(known)[:, -1:].argmax(-1)), dim=1)
    assert torch.equal(loop.history[:, :18], known)


@torch.no_grad()
def test_a_draft_that_is_the_target_is_always_accepted():
    loop = loop_of(gamma=4)
    loop.draft = Trained(small(0), 4, 64)
    loop.prefill()
    for _ in range(5):
        loop.iterate()
    assert (loop.accepted.item(), loop.examined.item(), loop.iterations.item()) == (80, 80, 20)
    assert loop.filled.tolist() == [8 + 5 * 5] * 4


@torch.no_grad()
@pytest.mark.parametrize("alpha", [0.3, 0.75])
def test_forced_acceptance_gives_the_tokens_of_the_papers_equation(alpha):
    torch.manual_seed(0)
    loop = loop_of(batch=64, gamma=7, oracle=alpha, capacity=128)
    for _ in range(14):
        loop.iterate()
    tokens = 1 + loop.accepted.item() / loop.iterations.item()
    assert tokens == pytest.approx(speculation.tokens_per_iteration(alpha, 7), rel=0.05)
    assert loop.accepted.item() / loop.examined.item() == pytest.approx(alpha, abs=0.03)


def test_the_papers_expected_tokens():
    """Section 3.1: alpha 0.75 and gamma 7 give 3.6; a perfect draft gives gamma + 1."""
    assert speculation.tokens_per_iteration(0.75, 7) == pytest.approx(3.6, abs=0.005)
    assert speculation.tokens_per_iteration(1.0, 7) == 8
    assert speculation.speedup(0.75, 7, cost=0.0) == speculation.tokens_per_iteration(0.75, 7)


@torch.no_grad()
def test_a_shaped_decoder_computes_the_same_in_one_pass_as_token_by_token():
    shape = decodestack.Shape(2, 32, 2, 2, 16, 64, gated=True, memory=5, vocabulary=40)
    model = Shaped(shape, 1, 16, torch.float64, torch.device("cpu"))
    tokens = torch.randint(40, (1, 6))
    whole = model(tokens, torch.tensor([0]))
    parts = [model(tokens[:, place : place + 1], torch.tensor([place])) for place in range(6)]
    assert torch.allclose(whole, torch.cat(parts, dim=1), atol=1e-10)
