"""H3's layer in both forms, seeds side by side, and the ordering that is judged."""

import pytest
import torch

from reproduce.recipes.blocks import statespace, tasks
from reproduce.recipes.blocks.learning import Plan, train
from reproduce.recipes.blocks.seeds import Seeds
from reproduce.recipes.blocks.tinygpt import Attention, Shape, TinyGPT
from tests.recipes.conftest import context_of, failed, part, value

SLUG = "h3-synthetics"
SHAPE = Shape(layers=1, width=8, heads=2, length=64, vocabulary=6, norm="layer", tied=False, positions="none")


def guarded():
    context = context_of(SLUG)
    part(SLUG, "numerics").check(context)
    return failed(context)


def test_both_forms_of_the_layer_are_exact():
    assert guarded() == set()


def test_a_convolution_that_wraps_around_is_caught(monkeypatch):
    def circular(signal, kernel):
        spectrum = torch.fft.rfft(signal, dim=-2) * torch.fft.rfft(kernel, dim=-1).mT
        return torch.fft.irfft(spectrum, n=signal.shape[-2], dim=-2)

    monkeypatch.setattr(statespace, "convolve", circular)
    assert guarded() == {"convolution_exact"}


def test_a_recurrence_that_turns_one_per_cent_too_far_is_caught(monkeypatch):
    module = part(SLUG, "recurrence")
    plain = module.advance

    def off(*given):
        return plain(*given[:7], given[7] * 1.01, *given[8:])

    monkeypatch.setattr(module, "advance", off)
    assert guarded() == {"recurrence_exact"}


@pytest.mark.parametrize("mixer", ["attention", "H3", "S4D", "GSS"])
def test_no_mixer_sees_what_comes_later(mixer):
    model = TinyGPT(SHAPE, part(SLUG, "learned").MIXERS[mixer], seed=1)
    ids = torch.randint(6, (2, 12))
    changed = ids.clone()
    changed[:, 8:] = (ids[:, 8:] + 1) % 6
    with torch.no_grad():
        difference = (model(ids) - model(changed)).abs().amax((0, 2))
    assert difference[:8].max() < 1e-5 < 1e-4 < difference[8:].min()


@pytest.mark.parametrize(("parts", "mixer"), [(1, "H3"), (2, "H3"), (2, "attention")])
def test_seeds_side_by_side_learn_as_each_alone(parts, mixer):
    task, seeds = tasks.InductionHeads(8, 6), 2
    plan = Plan(4, 1e-2, clip=0.0, weight_decay=0.0, half=False)

    def make(seed):
        return TinyGPT(SHAPE, part(SLUG, "learned").MIXERS[mixer], seed=seed)

    def make_alone(seed):
        return TinyGPT(SHAPE, Attention if mixer == "attention" else statespace.H3, seed=seed)

    batches = tasks.held_out(task, 4 * seeds, torch.device("cpu"), 0).unflatten(1, (seeds, -1))
    both = Seeds(make, range(seeds), parts)
    together = train(both, lambda step, generator: batches, plan, loss=tasks.loss)
    alone = [
        train(make_alone(seed), lambda step, generator, s=seed: batches[:, s], plan, loss=tasks.loss).losses
        for seed in range(seeds)
    ]
    assert together.losses == pytest.approx([sum(pair) / 2 for pair in zip(*alone, strict=True)], rel=1e-4)
    assert together.losses[-1] < together.losses[0]


def test_the_ordering_needs_every_pair():
    learned = part(SLUG, "learned")
    good = {"attention": [1.0] * 3, "H3": [0.99, 1, 1], "S4D": [0.4, 0.3, 0.35], "GSS": [0.1, 0.1, 0.05]}
    for mixed, expected in (({}, 1.0), ({"GSS": [0.5] * 3}, 0.5), ({"H3": [0.3] * 3}, 0.0)):
        context = context_of(SLUG)
        learned.order(context, {"induction": good | mixed, "recall": good})
        assert value(context, "order") == expected


def test_every_seed_learns_every_token_of_its_own_examples_once_an_epoch(monkeypatch):
    teaching = part(SLUG, "teaching")
    monkeypatch.setattr(teaching, "POOL", 20)
    task = tasks.InductionHeads(8, 6)
    pool = teaching.pool_of(task, 2, torch.device("cpu"))
    assert pool.shape == (2, 2, 20, 8)
    assert torch.equal(pool[1, ..., :-1], pool[0, ..., 1:])
    mark = (pool[0, ..., :-1] == 5).int().argmax(-1, keepdim=True)
    assert torch.equal(pool[1, ..., -1:], pool[0].gather(-1, mark + 1))
    draw, generator = teaching.epochs(pool, 5), torch.Generator().manual_seed(0)
    first, second = (torch.cat([draw(step, generator) for step in range(4)], dim=2) for _ in range(2))
    assert not torch.equal(first, second)
    for seed in range(2):
        own = sorted(pool[:, seed].movedim(0, 1).tolist())
        for epoch in (first, second):
            assert sorted(epoch[:, seed].movedim(0, 1).tolist()) == own


def test_dropout_is_for_learning_alone_and_differs_between_seeds():
    teaching = part(SLUG, "teaching")

    def make(seed):
        model = TinyGPT(SHAPE, statespace.H3, seed=0)
        model.embedding = teaching.Dropped(torch.nn.Embedding.from_pretrained(torch.ones(6, 8)))
        return model.embedding

    both, ids = Seeds(make, range(2), 2), torch.randint(6, (2, 50, 12))
    learnt = both(ids)
    assert (learnt == 0).float().mean().item() == pytest.approx(teaching.DROPPED, abs=0.02)
    assert learnt.mean().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(learnt[0], learnt[1])
    assert not torch.equal(learnt[0, :25], learnt[0, 25:])
    with torch.no_grad():
        assert torch.equal(both(ids), torch.ones(2, 50, 12, 8))


def test_all_but_the_dynamics_of_states_decays():
    teaching = part(SLUG, "teaching")
    alone, plan = TinyGPT(SHAPE, statespace.H3, seed=0), Plan(1, 0.5)
    both = Seeds(lambda seed: TinyGPT(SHAPE, statespace.H3, seed=seed), range(2))
    paces = teaching.paces(alone, torch.device("cpu"))
    optimizer = teaching.Decaying(list(both.parameters()), plan, paces)
    both.stacked.grad = torch.zeros_like(both.stacked)
    optimizer.step()
    after = both._named(both.stacked.detach()[0])
    for name, before in alone.named_parameters():
        spared = name.endswith(("log_step", "log_decay", "frequency"))
        assert torch.allclose(after[name], before.detach() * (1 if spared else 0.95)), name
