"""A fleet is its members: the same losses, the same training, each at its own learning rate."""

import pytest
import torch

from reproduce.recipes.blocks import fleet_learning, learning
from reproduce.recipes.blocks.fleet import Fleet, Manner
from reproduce.recipes.blocks.fleet_learning import Windows, one_epoch, random_windows
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.tinygpt import Shape

SHAPE = Shape(layers=2, width=16, heads=2, length=12, vocabulary=32, positions="learned", tied=False)
CPU = torch.device("cpu")


@pytest.fixture
def content():
    return torch.randint(32, (400,), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def fleet_of(seeds, shape=SHAPE, **options):
    return Fleet(shape, seeds, CPU, dtype=torch.float64, **options)


@pytest.mark.parametrize("tied", [False, True])
def test_losses_are_the_members_losses(tied):
    shape = Shape(**{**SHAPE.__dict__, "tied": tied})
    fleet = fleet_of([0, 1, 0], shape)
    tokens = torch.randint(32, (3, 4, 11), generator=torch.Generator().manual_seed(0))
    losses = fleet.loss(tokens).detach()
    for index in range(3):
        assert float(losses[index]) == pytest.approx(
            float(fleet.member(index).loss(tokens[index])),
            rel=1e-6,  # a member's loss is in fp32
        )
        assert fleet.parameters(False) == fleet.member(index).size(False) - 5 * shape.width
    assert fleet.copies(1, 3).evaluate(tokens, parts=1)[1] == pytest.approx(float(losses[1]))
    assert fleet.evaluate(tokens[:, :2], parts=2)[0] == pytest.approx(
        float(fleet.loss(tokens[:, :2]).detach()[0])
    )


def test_training_is_that_of_each_member_alone(content):
    rates, plan = [1e-3, 1e-2], Plan(steps=6, rate=0.0, clip=0.5, evaluations=2, half=False)
    fleet = fleet_of([3, 4])
    alone = [fleet.member(index) for index in range(2)]
    windows = Windows(content, random_windows(400, 6, 2, 3, 10, seed=5), (10,))
    found = fleet_learning.train(fleet, windows, plan, rates, lambda f: f.flat.detach().norm(dim=1))
    assert found.marks == [3, 6]
    for index, model in enumerate(alone):
        for norm in (m for name, m in model.named_parameters() if "norm" in name):
            norm.requires_grad_(False)
        own = Plan(steps=6, rate=rates[index], clip=0.5, evaluations=2, half=False)

        def optimizer(parameters, own=own):
            return learning.adamw(own)([p for p in parameters if p.requires_grad])

        def draw(step, _, index=index):
            places = windows.starts[step, index][:, None] + torch.arange(11)
            return content[places].long()

        curve = learning.train(model, draw, own, optimizer=optimizer)
        assert found.losses[:, index].tolist() == pytest.approx(curve.losses, rel=1e-5)
        for name, weight in fleet.member(index).named_parameters():
            torch.testing.assert_close(weight, dict(model.named_parameters())[name], rtol=1e-5, atol=1e-7)


def test_a_manner_sets_starts_rates_and_scales(content):
    def rate(name, size):
        return 0.0 if name.startswith("qkv") else 2.0

    manner = Manner(deviation=lambda name, size: 0.5 if name == "head" else 0.1, rate=rate, output=0.0)
    fleet = fleet_of([0, 1], manner=manner)
    before = {name: weight.detach().clone() for name, weight in fleet.weights().items()}
    assert float(before["head"].std()) == pytest.approx(0.5, rel=0.1)
    assert float(before["up.0"].std()) == pytest.approx(0.1, rel=0.1)
    windows = Windows(content, random_windows(400, 1, 1, 2, 8, seed=0), (8,))
    found = fleet_learning.train(fleet, windows, Plan(steps=1, rate=0.0, weight_decay=0.0), [1e-2, 0.0])
    assert found.losses[0].tolist() == pytest.approx([torch.tensor(32.0).log().item()] * 2)  # no logits
    fleet = fleet_of([0, 1], manner=Manner(deviation=manner.deviation, rate=rate))
    fleet_learning.train(fleet, windows, Plan(steps=1, rate=0.0, weight_decay=0.0), [1e-2, 0.0])
    moved = {name: (weight - before[name]).detach().abs() for name, weight in fleet.weights().items()}
    assert moved["qkv.1"].max() == moved["head"][1].max() == 0
    assert float(moved["head"][0].median()) == pytest.approx(2e-2, rel=1e-2)  # Adam's first step is the rate


def test_watching_sees_each_layer():
    seen = {}
    fleet_of([0]).logits(torch.zeros(1, 1, 4, dtype=torch.long), watch=seen.__setitem__)
    assert list(seen) == ["attention.0", "forward.0", "attention.1", "forward.1", "logits"]


def test_windows_of_one_epoch_do_not_overlap_and_lengths_may_change(content):
    starts = one_epoch(steps=5, batch=4, length=8, seed=0, begin=100)
    assert sorted(starts.flatten().tolist()) == list(range(100, 260, 8))
    windows = Windows(content, starts, (4, 4, 8, 8, 8))
    assert [windows.length(step) for step in range(5)] == [4, 4, 8, 8, 8]
    found = fleet_learning.train(fleet_of([0, 0]), windows, Plan(steps=5, rate=0.0), [1e-3, 1e-3])
    assert torch.equal(found.losses[:, 0], found.losses[:, 1])
    assert found.norms.min() > 0
