"""A small byte model loses key heads and trains on for a twentieth of its steps: the cost.

Every arm trains on alike, the one that keeps all heads too.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch

from reproduce.recipes import corpora
from reproduce.recipes.blocks.learning import Plan, train, validation_loss
from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from .conversion import Convert, at_random, first, mean

RATE, AGAIN_RATE, CORPUS = 2e-3, 1e-3, 3_000_000
HEADS, GROUPS = 8, 2
ARMS: Mapping[str, tuple[int, Convert]] = {
    "MHA": (HEADS, mean),
    "GQA, mean": (GROUPS, mean),
    "MQA, mean": (1, mean),
    "MQA, first": (1, first),
    "MQA, random": (1, at_random),
}


def measure(context: Context) -> None:
    """Measures quality_order and quality_gap; charts the losses against the number of key heads."""
    corpus = corpora.code(CORPUS)
    context.data["training"] = corpus.record()
    text, seeds = Text.of(corpus, context.device), context["seeds"]
    losses: dict[str, list[float]] = {arm: [] for arm in ARMS}
    before: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        context.progress(0.6 + 0.4 * seed / seeds, f"converting and training on, seed {seed + 1}")
        _one_seed(context, text, seed, losses, before)
    context.samples["uptraining"] = {"after": losses, "before": before}
    stated = (
        Pair("GQA below MQA", losses["GQA, mean"], losses["MQA, mean"]),
        Pair("MHA below GQA", losses["MHA"], losses["GQA, mean"]),
        Pair("mean below first", losses["MQA, mean"], losses["MQA, first"]),
        Pair("first below random", losses["MQA, first"], losses["MQA, random"]),
    )
    holds, detail = order_holds(*stated)
    context.measure("quality_order", holds, n=seeds, detail=detail)
    gaps = [ours - theirs for ours, theirs in zip(losses["GQA, mean"], losses["MHA"], strict=True)]
    finals = {arm: mean_of(values).value for arm, values in losses.items()}
    context.measure("quality_gap", mean_of(gaps), detail={"nats_per_byte": finals})
    _chart(context, losses, before)


def converted(model: TinyGPT, groups: int, convert: Convert, seed: int) -> TinyGPT:
    """A model with `groups` key and value heads in place of all, everything else the same."""
    heads, device = model.shape.heads, model.embedding.weight.device
    torch.manual_seed(seed)
    weights = {
        name: convert(tensor, heads, groups) if name.endswith(("key.weight", "value.weight")) else tensor
        for name, tensor in model.state_dict().items()
    }
    other = TinyGPT(replace(model.shape, kv_heads=groups)).to(device)
    other.load_state_dict(weights)
    return other


def _one_seed(
    context: Context,
    text: Text,
    seed: int,
    losses: dict[str, list[float]],
    before: dict[str, list[float]],
) -> None:
    width, count = (256, 32) if context.full else (32, 8)
    length, steps = min(256, width), context["learn_steps"]
    shape = Shape(4 if context.full else 1, width, HEADS, length)
    judge = partial(validation_loss, batch=text.held_out(2 * count, length))

    def draw(step: int, generator: torch.Generator) -> torch.Tensor:
        return text.draw(count, length, generator)

    base = TinyGPT(shape, seed=seed).to(context.device)
    train(base, draw, Plan(steps, RATE, seed, evaluations=1))
    for arm, (groups, convert) in ARMS.items():
        model = converted(base, groups, convert, seed)
        before[arm].append(judge(model))
        again = Plan(math.ceil(steps / 20), AGAIN_RATE, 1000 + seed, evaluations=1)
        losses[arm].append(train(model, draw, again, judge).final)


def _chart(context: Context, losses: Mapping[str, list[float]], before: Mapping[str, list[float]]) -> None:
    x = [HEADS, GROUPS, 1]
    by_mean = ("MHA", "GQA, mean", "MQA, mean")
    lines = [
        curve("mean of the heads, trained on", x, [mean_of(losses[arm]) for arm in by_mean]),
        curve("mean of the heads, at once", x, [mean_of(before[arm]) for arm in by_mean]),
        curve("first head, trained on", [1], [mean_of(losses["MQA, first"])]),
        curve("random head, trained on", [1], [mean_of(losses["MQA, random"])]),
    ]
    context.chart(
        "uptraining",
        "Validation loss of a small byte model after losing key heads",
        ("Key and value heads", "", True),
        ("Validation loss", "nats a byte", False),
        lines,
    )
