"""What rounding costs a small trained model: GPTQ against round-to-nearest at 4, 3 and 2 bits, over seeds."""

import copy
import math

import torch

from reproduce.recipes.blocks import hessian, ordering
from reproduce.recipes.blocks.teacher import Teacher, linears, teacher
from reproduce.recipes.blocks.tinygpt import TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from . import gptq

BITS = (4, 3, 2)
STATED = (4, 3)  # bits for which the ordering is stated
Losses = dict[int, list[float]]  # by bits, one for each seed


def measure(context: Context) -> None:
    """Measures order, three gap_closed and perplexity_change; charts loss over bits."""
    made = teacher(context, 0.3, 0.5)
    seeds = context["seeds"]
    dense = [made.loss(made.model, seed, seeds) for seed in range(seeds)]
    found: dict[str, Losses] = {"nearest": {}, "gptq": {}}
    for index, bits in enumerate(BITS):
        context.progress(0.5 + 0.3 * index / len(BITS), f"{bits} bits a weight")
        plain = nearest_model(made.model, bits)
        found["nearest"][bits] = [made.loss(plain, seed, seeds) for seed in range(seeds)]
        found["gptq"][bits] = []
        for seed in range(seeds):
            model = gptq_model(made.model, made.calibration(seed, context["calibration"]), bits)
            found["gptq"][bits].append(made.loss(model, seed, seeds))
    _report(context, dense, found)
    guard(context, made)


def nearest_model(model: TinyGPT, bits: int) -> TinyGPT:
    """A copy with every layer's weights rounded to nearest."""
    rounded = copy.deepcopy(model)
    for _, layer in linears(rounded):
        layer.weight.copy_(gptq.nearest(layer.weight, bits))
    return rounded


def gptq_model(model: TinyGPT, tokens: torch.Tensor, bits: int) -> TinyGPT:
    """A copy quantised by GPTQ, calibrated on the tokens."""
    return hessian.by_block(
        model, tokens, lambda weight, products: gptq.gptq(weight, products, bits), stacked=True
    )


def guard(context: Context, made: Teacher) -> None:
    """Guards that weights lie on their grid, and that compensation lowers the error on the layer's inputs."""
    tokens = made.calibration(0, context["calibration"])
    seen = hessian.gather(made.model, linears(made.model), tokens.split(32))
    off, ratios = 0.0, []
    for name, layer in linears(made.model):
        weight, products = layer.weight, seen[name].products
        new = gptq.gptq(weight, products, 4)
        off = max(off, gptq.off_grid(new, weight, 4))
        plain = hessian.reconstruction_error(weight, gptq.nearest(weight, 4), products)
        ratios.append(hessian.reconstruction_error(weight, new, products) / plain)
    context.guard(
        "on_grid", off, 1e-3, "Furthest that a GPTQ weight lies from its row's 4-bit grid, in steps."
    )
    context.guard(
        "compensates",
        sum(ratios) / len(ratios),
        0.9,
        f"Error of a layer's output on its calibration inputs, GPTQ / nearest, mean of {len(ratios)} layers.",
    )


def _report(context: Context, dense: list[float], found: dict[str, Losses]) -> None:
    context.samples["quality"] = {
        "dense": dense,
        **{arm: {str(b): v for b, v in losses.items()} for arm, losses in found.items()},
    }
    pairs = [ordering.Pair(f"{bits} bits", found["gptq"][bits], found["nearest"][bits]) for bits in STATED]
    holds, detail = ordering.order_holds(*pairs)
    context.measure("order", holds, n=len(dense), detail=detail)
    for bits in BITS:
        closed = [
            share(*losses) for losses in zip(dense, found["nearest"][bits], found["gptq"][bits], strict=True)
        ]
        context.measure(
            f"gap_closed_{bits}", mean_of(closed), detail={"reproduces_from": 0.5} if bits in STATED else None
        )
    growth = [math.exp(loss) - math.exp(base) for loss, base in zip(found["gptq"][4], dense, strict=True)]
    context.measure("perplexity_change", mean_of(growth), detail={"perplexity_of": "bytes"})
    lines = [
        curve("round to nearest", BITS, [mean_of(found["nearest"][bits]) for bits in BITS]),
        curve("GPTQ", BITS, [mean_of(found["gptq"][bits]) for bits in BITS]),
        curve("32 bits", BITS, [mean_of(dense)] * len(BITS)),
    ]
    context.chart(
        "loss",
        "Validation loss of a small model with rounded weights",
        ("Bits a weight", "bit", False),
        ("Validation loss", "nats a byte", False),
        lines,
    )


def share(dense: float, nearest: float, candidate: float) -> float:
    """How much of the loss that rounding to nearest adds is won back; zero if it adds none."""
    gap = nearest - dense
    return (nearest - candidate) / gap if gap > 1e-9 else 0.0
