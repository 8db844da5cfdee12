"""A small trained decoder loses a quarter of its heads and units by three scores, and recovers briefly."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.zoo import Decoder, DecoderLayer, DecoderShape, materialise
from reproduce.recipes.context import Context
from reproduce.recipes.intervals import mean_of

from .shapes import QUARTER
from .slicing import Units, without_units

CORPUS = 2_000_000
LENGTH, BATCH, SEEDS = 128, 32, 3
RATE, LATER_RATE = 1e-3, 3e-4
HEADS = 4  # so that a quarter is one
Score = Callable[[nn.Parameter, torch.Generator], torch.Tensor]  # of every weight


def taylor(weight: nn.Parameter, generator: torch.Generator) -> torch.Tensor:
    """First-order change of the loss if the weight went: |w dL/dw|. Source: arXiv:2305.11627, section 3.2."""
    return (weight * weight.grad).abs()


def magnitude(weight: nn.Parameter, generator: torch.Generator) -> torch.Tensor:
    """Its square."""
    return weight.square()


def chance(weight: nn.Parameter, generator: torch.Generator) -> torch.Tensor:
    """Nothing but chance."""
    return torch.rand(weight.shape, generator=generator).to(weight.device)


SCORES: dict[str, Score] = {"taylor": taylor, "magnitude": magnitude, "random": chance}


def measure(context: Context) -> None:
    """Measures loss_taylor, loss_magnitude and loss_random over seeds, each against the whole model."""
    corpus = corpora.code(CORPUS if context.full else CORPUS // 20)
    context.data["text"] = corpus.record()
    text = Text.of(corpus, context.device)
    before: dict[str, list[float]] = {name: [] for name in ("whole", *SCORES)}
    after: dict[str, list[float]] = {name: [] for name in ("whole", *SCORES)}
    for seed in range(SEEDS):
        context.progress(0.6 + 0.4 * seed / SEEDS, f"a small language model, seed {seed + 1}")
        whole = materialise(lambda: Decoder(_shape(context)), context.device, torch.float32, seed)
        _learn(whole, text, context["steps"], RATE, seed)
        models = {"whole": whole}
        for name, score in SCORES.items():
            models[name] = without_units(whole, _chosen(whole, text, score, seed))
        for name, model in models.items():
            before[name].append(_loss(model, text))
            _learn(model, text, context["steps"] // 5, LATER_RATE, SEEDS + seed)
            after[name].append(_loss(model, text))
    context.samples["recovery"] = {"before": before, "after": after}
    for name in SCORES:
        gaps = [pruned - whole for pruned, whole in zip(after[name], after["whole"], strict=True)]
        detail = {"before_recovery": before[name], "after": after[name], "whole": after["whole"]}
        context.measure(f"loss_{name}", mean_of(gaps), detail=detail)


def _shape(context: Context) -> DecoderShape:
    width = context["width"]
    hidden = 8 * round(width / 3)
    return DecoderShape(4 if context.full else 2, width, HEADS, hidden, 256, head_width=width // HEADS)


def _chosen(model: Decoder, text: Text, score: Score, seed: int) -> Units:
    """The heads and hidden units of each layer with the highest sums of scores."""
    generator = torch.Generator().manual_seed(seed)
    model.zero_grad()
    next_byte(model, text.draw(BATCH, LENGTH, generator)).backward()
    with torch.no_grad():
        units = {
            n: _of_layer(layer, partial(score, generator=generator)) for n, layer in enumerate(model.layers)
        }
    model.zero_grad()
    return units


def _of_layer(
    layer: DecoderLayer, score: Callable[[nn.Parameter], torch.Tensor]
) -> tuple[list[int], list[int]]:
    attention, net = layer.attention, layer.feed_forward
    readers = score(attention.qkv.weight).sum(1).view(3, HEADS, -1).sum((0, 2))
    heads = readers + score(attention.out.weight).sum(0).view(HEADS, -1).sum(1)
    units = score(net.gate.weight).sum(1) + score(net.up.weight).sum(1) + score(net.down.weight).sum(0)
    return _best(heads), _best(units)


def _best(scores: torch.Tensor) -> list[int]:
    return sorted(scores.topk(round(len(scores) * (1 - QUARTER))).indices.tolist())


def next_byte(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Mean loss in nats of predicting each next one of (batch, length + 1) ids."""
    logits = model(batch[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())


def _learn(model: nn.Module, text: Text, steps: int, rate: float, seed: int) -> None:
    learning.train(
        model,
        lambda step, generator: text.draw(BATCH, LENGTH, generator),
        Plan(steps=max(1, steps), rate=rate, seed=seed, evaluations=1),
        loss=next_byte,
    )


def _loss(model: nn.Module, text: Text) -> float:
    return learning.validation_loss(model, text.held_out(64, LENGTH), parts=1, loss=next_byte)
