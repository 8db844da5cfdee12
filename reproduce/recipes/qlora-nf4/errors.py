"""How far 4-bit data types are from normal, heavy-tailed and trained weights, and a small model's loss."""

import copy
import math

import torch

from reproduce.recipes.blocks import ordering
from reproduce.recipes.blocks.quantizing import block_scaled, codebook
from reproduce.recipes.blocks.teacher import Teacher, linears, teacher
from reproduce.recipes.blocks.tinygpt import TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from .nf4 import BLOCK

TYPES = ("nf4", "fp4-e2m1", "fp4-e3m0", "int4")
NAMES = {"nf4": "NF4", "fp4-e2m1": "FP4 E2M1", "fp4-e3m0": "FP4 E3M0", "int4": "Int4"}
BLOCKS = (16, 32, 64)  # of the chart


def measure(context: Context) -> None:
    """Measures order, error_nf4, loss_added and perplexity; charts errors over the size of blocks."""
    made = teacher(context, 0.1, 0.4)
    seeds = context["seeds"]
    context.progress(0.4, "rounding to 4 bits")
    normal = {name: [_rmse(_normal(context, seed), name, BLOCK) for seed in range(seeds)] for name in TYPES}
    heavy = {name: [_rmse(_heavy(context, seed), name, BLOCK) for seed in range(seeds)] for name in TYPES}
    losses = {}
    for name in TYPES:
        model = rounded_model(made.model, name)
        losses[name] = [made.loss(model, seed, seeds) for seed in range(seeds)]
    context.samples["data_types"] = {"normal": normal, "student_5": heavy, "losses": losses}
    _report(context, made, normal, heavy, losses)
    lines = [
        curve(
            NAMES[name],
            BLOCKS,
            [mean_of([_rmse(_normal(context, s), name, b) for s in range(3)]) for b in BLOCKS],
        )
        for name in TYPES
    ]
    context.chart(
        "errors",
        "Error of 4-bit data types on normal weights, by the weights that share a scale",
        ("Weights in a block", "", True),
        ("Root mean square error", "standard deviations", False),
        lines,
    )


def _report(context: Context, made: Teacher, normal: dict, heavy: dict, losses: dict) -> None:
    pairs = []
    for what, found in (("error on N(0, 1)", normal), ("loss of a small model", losses)):
        for better, worse in (("nf4", "fp4-e2m1"), ("fp4-e2m1", "int4")):
            pairs.append(
                ordering.Pair(f"{what}: {NAMES[better]} below {NAMES[worse]}", found[better], found[worse])
            )
    holds, detail = ordering.order_holds(*pairs)
    weights = [layer.weight for _, layer in linears(made.model)]
    means = {
        "N(0, 1)": {name: sum(values) / len(values) for name, values in normal.items()},
        "Student's t, 5 degrees": {name: sum(values) / len(values) for name, values in heavy.items()},
        "small model": {name: _rmse_of(weights, name) for name in TYPES},
        "nats_per_byte": {name: sum(values) / len(values) for name, values in losses.items()},
    }
    seeds = context["seeds"]
    context.measure("order", holds, n=seeds, detail={**detail, **means})
    context.measure("error_nf4", mean_of(normal["nf4"]))
    dense = [made.loss(made.model, seed, seeds) for seed in range(seeds)]
    context.measure(
        "loss_added", mean_of([loss - base for loss, base in zip(losses["nf4"], dense, strict=True)])
    )
    perplexities = [math.exp(loss) for loss in losses["nf4"]]
    context.measure("perplexity", mean_of(perplexities), detail={"perplexity_of": "bytes"})


def rounded_model(model: TinyGPT, name: str) -> TinyGPT:
    """A copy with every layer's weights in the data type."""
    changed = copy.deepcopy(model)
    for _, layer in linears(changed):
        layer.weight.data.copy_(block_scaled(layer.weight, codebook(name, layer.weight.device), BLOCK))
    return changed


def _rmse(x: torch.Tensor, name: str, block: int) -> float:
    return (block_scaled(x, codebook(name, x.device), block) - x).square().mean().sqrt().item()


def _rmse_of(weights: list[torch.Tensor], name: str) -> float:
    """Relative to the weights' own root mean square, over all layers."""
    wrong = sum((block_scaled(w, codebook(name, w.device), BLOCK) - w).square().sum().item() for w in weights)
    return math.sqrt(wrong / sum(w.square().sum().item() for w in weights))


def _normal(context: Context, seed: int) -> torch.Tensor:
    size = 2**22 if context.full else 2**16
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(context.device)


def _heavy(context: Context, seed: int) -> torch.Tensor:
    """Student's t with 5 degrees of freedom: a normal over the root of a mean of 5 squared normals."""
    generator = torch.Generator().manual_seed(seed)
    size = 2**20 if context.full else 2**14
    above = torch.randn(size, generator=generator)
    return (above / torch.randn(size, 5, generator=generator).square().mean(1).sqrt()).to(context.device)
