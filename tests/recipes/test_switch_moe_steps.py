"""Routing against a loop over tokens, balance and dialects against closed forms; guards, broken on purpose."""

import pytest
import torch

from reproduce.recipes.blocks.learning import Curve
from tests.recipes.conftest import context_of, failed, part

SLUG = "switch-moe-steps"
checks, dialects, experts = part(SLUG, "checks"), part(SLUG, "dialects"), part(SLUG, "experts")
findings, training = part(SLUG, "findings"), part(SLUG, "training")


def test_even_routing_has_the_least_balancing_loss_and_collapse_the_most():
    """The paper's equation 4: 1 for an even load, E when all tokens go to one expert with certainty."""
    layer = experts.Switch(checks.SHAPE, 4)
    even, mine = torch.full((8, 4), 0.25), torch.eye(4).repeat(1, 2).bool()
    layer._count(even, mine, torch.zeros(8, dtype=torch.bool))
    assert layer.balance.item() == pytest.approx(1.0)
    alone = torch.eye(4)[:1].repeat(8, 1)
    layer._count(alone, alone.bool().T, torch.zeros(8, dtype=torch.bool))
    assert layer.balance.item() == pytest.approx(4.0)


def test_a_dialect_has_the_entropy_that_its_sharpness_gives():
    chances = dialects._tables(2, torch.device("cpu"))
    chains = dialects._chains(chances, 400, 65)
    drawn = chains.long()
    pairs = torch.zeros(2, 64, 64)
    for dialect in range(2):
        before, after = drawn[dialect, :, :-1].flatten(), drawn[dialect, :, 1:].flatten()
        pairs[dialect].index_put_((before, after), torch.ones(len(before)), accumulate=True)
    rows = pairs / pairs.sum(-1, keepdim=True).clamp(min=1)
    entropy = -(pairs / pairs.sum((1, 2), keepdim=True) * rows.clamp(min=1e-9).log()).sum((1, 2))
    assert entropy.mean().item() == pytest.approx(dialects._surprise(chances, chains), abs=0.2)
    overlap = (rows[0] * rows[1]).sum() / (rows[0].norm() * rows[1].norm())
    assert overlap < 0.3  # another table, another dialect


def test_the_gain_is_the_dense_models_whole_cost_over_the_sparse_ones_part():
    dense = training.Arm(0, curves=[Curve(marks=[10, 20], validation=[3.0, 2.0], seconds=[1.0, 2.0])])
    fast = training.Arm(4, curves=[Curve(marks=[10, 20], validation=[2.0, 1.5], seconds=[2.0, 4.0])])
    never = training.Arm(4, curves=[Curve(marks=[10, 20], validation=[3.5, 2.5], seconds=[2.0, 4.0])])
    assert findings.gains(dense, fast, "steps") == [2.0]
    assert findings.gains(dense, fast, "seconds") == [1.0]
    assert findings.gains(dense, never, "seconds") == [0.5]


def test_a_full_expert_is_seen_in_its_own_seed_whatever_the_others_do():
    """Expert 1 of one seed has nothing to do with expert 1 of another: their loads must not be averaged."""
    context = context_of(SLUG)
    context.preset = "full"
    uneven = [[6, 1, 1], [1, 6, 1], [1, 1, 6]]  # each seed overloads another expert: even on average
    findings._load(context, training.Arm(3, loads=[[load] for load in uneven], dropped=[0.0] * 3))
    assert "balanced" in failed(context)
    even = context_of(SLUG)
    even.preset = "full"
    findings._load(even, training.Arm(3, loads=[[[3, 3, 2]]] * 3, dropped=[0.0] * 3))
    assert "balanced" not in failed(even)


def test_a_dense_model_that_knows_letters_alone_is_caught():
    context = context_of(SLUG)
    context.preset = "full"
    for loss, wanted in ((2.6, set()), (4.1, {"dialects_learnt"})):
        findings.guard_dialects(context, training.Arm(0, apart=[{"dialects": loss, "code": 1.2}]), 2.2)
        assert failed(context) == wanted


def test_the_router_sees_noise_in_training_alone():
    layer, x = experts.Switch(checks.SHAPE, 4), torch.randn(3, 20, checks.SHAPE.width)
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    layer.train()
    first, second = (layer._route(x.flatten(0, 1))[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.allclose(first, second, atol=0.02)


def without_gate(layer, x):
    chances = torch.softmax(x.flatten(0, 1).float() @ layer.router.weight.float().T, -1)
    return forward(layer, x) / chances.max(-1).values.view(*x.shape[:2], 1)


def last_come_first(layer, x):
    return forward(layer, x.flip((0, 1))).flip((0, 1))


forward = experts.Switch.forward


@pytest.mark.parametrize("broken", [without_gate, last_come_first])
def test_the_guard_sees_a_missing_gate_and_a_wrong_order(broken, monkeypatch):
    context = context_of(SLUG)
    checks.one_expert_is_dense(context)
    assert failed(context) == set()
    monkeypatch.setattr(experts.Switch, "forward", broken)
    checks.one_expert_is_dense(context)
    assert failed(context) == {"equals_loop"}


def test_the_guard_sees_experts_that_are_one_percent_off(monkeypatch):
    monkeypatch.setattr(experts.Switch, "forward", lambda layer, x: 1.01 * forward(layer, x))
    context = context_of(SLUG)
    checks.one_expert_is_dense(context)
    assert failed(context) == {"equals_dense", "equals_loop"}
