"""A small byte model pruned 2:4 by magnitude and trained on with its zeros, next to a dense one."""

import copy

import torch
from torch import nn
from torch.nn.utils import parametrize

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context
from reproduce.recipes.intervals import mean_of

from . import sparse

CORPUS = 2_000_000
LENGTH, BATCH, SEEDS = 128, 32, 3
RATE, LATER_RATE = 1e-3, 3e-4


class Masked(nn.Module):
    """Keeps the zeros of a weight while the rest of it learns."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", sparse.mask(weight))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.kept


def measure(context: Context) -> None:
    """Measures loss_after_pruning over seeds; embeddings, the output weights too, stay dense."""
    corpus = corpora.code(CORPUS if context.full else CORPUS // 20)
    context.data["text"] = corpus.record()
    text = Text.of(corpus, context.device)
    held_out = text.held_out(64, LENGTH)
    found: dict[str, list[float]] = {"dense": [], "pruned": [], "pruned and trained on": []}
    for seed in range(SEEDS):
        context.progress(0.6 + 0.4 * seed / SEEDS, f"a small language model, seed {seed + 1}")
        dense = TinyGPT(_shape(context), seed=seed).to(context.device)
        _learn(dense, text, context["steps"], RATE, seed)
        pruned = prune(copy.deepcopy(dense))
        found["pruned"].append(learning.validation_loss(pruned, held_out))
        for name, model in (("dense", dense), ("pruned and trained on", pruned)):
            _learn(model, text, context["steps"] // 3, LATER_RATE, SEEDS + seed)
            found[name].append(learning.validation_loss(model, held_out))
    context.samples["language"] = found
    gaps = [a - b for a, b in zip(found["pruned and trained on"], found["dense"], strict=True)]
    context.measure("loss_after_pruning", mean_of(gaps), detail={"nats_per_byte": found})


def prune(model: TinyGPT) -> TinyGPT:
    """Every linear layer inside the blocks with two of four weights held at zero."""
    for module in list(model.blocks.modules()):
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", Masked(module.weight))
    return model


def _shape(context: Context) -> Shape:
    width = context["width"]
    return Shape(layers=4 if context.full else 2, width=width, heads=width // 64, length=LENGTH)


def _learn(model: TinyGPT, text: Text, steps: int, rate: float, seed: int) -> None:
    learning.train(
        model,
        lambda step, generator: text.draw(BATCH, LENGTH, generator),
        Plan(steps=steps, rate=rate, seed=seed, evaluations=1),
    )
