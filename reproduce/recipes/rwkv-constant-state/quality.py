"""A small byte model learns code with RWKV's layers, and one as large with attention, over seeds."""

from functools import partial

import torch
from torch import nn

from reproduce.recipes import corpora
from reproduce.recipes.blocks.learning import Curve, Plan, train, validation_loss
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from . import operations, wkv

RATES = (1e-3, 3e-3)  # as many tries for both
SEEDS = 3
TUNING_SEED = 100
BATCH, CORPUS = 32, 3_000_000
ARMS = ("attention", "rwkv")


def _shifted(x: torch.Tensor) -> torch.Tensor:
    return torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), dim=1)


class TimeMixing(nn.Module):
    """In place of attention: (batch, n, width)."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        width, depth = shape.width, layer / max(1, shape.layers - 1)
        at = torch.arange(width) / max(1, width - 1)
        self.shares = nn.Parameter((at ** (1 - depth)).repeat(3, 1))
        self.log_decay = nn.Parameter(-5 + 8 * at ** (0.7 + 1.3 * depth))
        self.bonus = nn.Parameter(0.5 * ((torch.arange(width) + 1) % 3 - 1) + torch.tensor(0.3).log())
        self.r, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))

    def forward(self, x: torch.Tensor, cache: None = None) -> torch.Tensor:
        before = _shifted(x)
        mixed = [torch.lerp(before, x, share) for share in self.shares]
        r, k, v = (linear(part) for linear, part in zip((self.r, self.k, self.v), mixed, strict=True))
        state = wkv.empty(len(x), x.shape[2], torch.float32, x.device)
        out, _ = wkv.scan(k.float(), v.float(), self.log_decay.exp(), self.bonus, state)
        return self.out(torch.sigmoid(r) * out.to(r.dtype))


class ChannelMixing(nn.Module):
    """In place of the feed-forward: 8 width^2 weights as well."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, hidden = shape.width, 7 * shape.width // 2
        self.shares = nn.Parameter((torch.arange(width) / max(1, width - 1)).repeat(2, 1))
        self.gate = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = _shifted(x)
        gate, rest = (torch.lerp(before, x, share) for share in self.shares)
        return torch.sigmoid(self.gate(gate)) * self.down(operations.squared(self.up(rest)))


def build(arm: str, width: int, length: int, seed: int) -> TinyGPT:
    """A model of four layers, or of two if it is small."""
    heads = max(1, width // 64)
    positions = "none" if arm == "rwkv" else "rope"
    shape = Shape(4 if width >= 128 else 2, width, heads, length, positions=positions)
    return TinyGPT(shape, TimeMixing, ChannelMixing, seed) if arm == "rwkv" else TinyGPT(shape, seed=seed)


def measure(context: Context) -> None:
    """Measures quality_gap: RWKV's validation loss less attention's, in nats a byte."""
    corpus = corpora.code(CORPUS)
    context.data["training"] = corpus.record()
    text = Text.of(corpus, context.device)
    rates, tried, runs = {}, {}, {}
    for number, arm in enumerate(ARMS):
        context.progress(0.65 + 0.17 * number, f"learning bytes with {arm}")
        tried[arm] = {rate: _learn(context, text, arm, rate, TUNING_SEED).final for rate in RATES}
        rates[arm] = min(tried[arm], key=tried[arm].__getitem__)
        runs[arm] = [_learn(context, text, arm, rates[arm], seed) for seed in range(SEEDS)]
    context.samples["quality"] = {arm: [run.validation for run in found] for arm, found in runs.items()}
    finals = {arm: [run.final for run in found] for arm, found in runs.items()}
    context.measure(
        "quality_gap",
        mean_of([ours - theirs for ours, theirs in zip(finals["rwkv"], finals["attention"], strict=True)]),
        detail={
            "nats_per_byte": finals,
            "learning_rates": rates,
            "tried": {arm: {f"{rate:g}": loss for rate, loss in each.items()} for arm, each in tried.items()},
        },
    )
    marks = runs["rwkv"][0].marks
    lines = [
        curve(arm, marks, [mean_of(at) for at in zip(*(run.validation for run in found), strict=True)])
        for arm, found in runs.items()
    ]
    axes = ("Step", "", False), ("Validation loss", "nats a byte", False)
    context.chart("quality", "Validation loss of small byte models", *axes, lines)


def _learn(context: Context, text: Text, arm: str, rate: float, seed: int) -> Curve:
    length = min(128, context["learn_width"])
    model = build(arm, context["learn_width"], length, seed).to(context.device)
    held_out = text.held_out(BATCH, length)
    draw = partial(_draw, text, BATCH if context.full else 8, length)
    plan = Plan(context["learn_steps"], rate, seed)
    return train(model, draw, plan, lambda net: validation_loss(net, held_out))


def _draw(text: Text, count: int, length: int, step: int, generator: torch.Generator) -> torch.Tensor:
    return text.draw(count, length, generator)
