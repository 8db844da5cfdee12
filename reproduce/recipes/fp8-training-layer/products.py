"""Time of the layer's four forward products together, fp8 with two kinds of scales against bf16."""

from collections.abc import Callable
from functools import partial

import torch

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from . import layer
from .fp8 import FORWARD, product

CLAIMED = 1.75


def measure(context: Context, ceilings: Probe) -> None:
    """Measures gemm_speedup and gemm_speedup_rowwise; charts by tokens."""
    tokens = context["token_counts"]
    found = {}
    for index, count in enumerate(tokens):
        context.progress(0.1 + 0.2 * index / len(tokens), f"products of {count} tokens")
        found[count] = _time(context, count, 2.5 if count == tokens[-1] else 0.5)
        release(context.device)
    last = found[tokens[-1]]
    context.keep("products", last)
    bound = ceilings.eighth / ceilings.half if ceilings.eighth else 2.0
    least = 1e3 * ceilings.least_time(24 * context["width"] ** 2 * tokens[-1])
    for name, arm in (("gemm_speedup", "fp8"), ("gemm_speedup_rowwise", "fp8, row-wise scales")):
        context.measure(
            name,
            last.speedup(arm),
            predicted=bound,
            predicted_note="Rates of fp8 and bf16 products probed now.",
            noise=last.noise(),
            detail={
                "tokens": tokens[-1],
                "arms": last.figures(),
                "fraction_of_limit": {
                    "candidate": least / bound / last.median(arm).value,
                    "baseline": least / last.median("bf16").value,
                },
            },
        )
    context.chart(
        "speedup_by_tokens",
        "Speed-up of the layer's products in fp8 by tokens",
        ("Tokens", "", True),
        ("Speed-up", "x", False),
        [
            curve("one scale a tensor", tokens, [each.speedup("fp8") for each in found.values()]),
            curve(
                "one scale a row", tokens, [each.speedup("fp8, row-wise scales") for each in found.values()]
            ),
            level("claimed by the paper", tokens, CLAIMED),
            level("roofline limit", tokens, bound),
        ],
    )


def _time(context: Context, tokens: int, seconds: float) -> Comparison:
    half = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    works: dict[str, list[Callable[[], torch.Tensor]]] = {"bf16": [], "fp8": [], "fp8, row-wise scales": []}
    one = torch.ones((), device=context.device)
    for outputs, inputs in layer.shapes(context["width"]):
        x = torch.randn(tokens, inputs, device=context.device, dtype=half)
        weight = torch.randn(outputs, inputs, device=context.device, dtype=half)
        works["bf16"].append(partial(torch.nn.functional.linear, x, weight))
        x8, weight8 = x.to(FORWARD), weight.to(FORWARD)
        works["fp8"].append(partial(product, x8, weight8, one, one, True))
        rows = (torch.ones(tokens, 1, device=context.device), torch.ones(1, outputs, device=context.device))
        works["fp8, row-wise scales"].append(partial(_rowwise, x8, weight8, *rows))
    arms = {name: partial(_all, parts) for name, parts in works.items()}
    how = profile(context.preset, KERNEL, max_s=seconds, min_s=min(seconds, 0.3), min_rounds=10, flush=False)
    return compare(arms, "bf16", how, context.device)


def _rowwise(
    x: torch.Tensor, weight: torch.Tensor, scale_x: torch.Tensor, scale_weight: torch.Tensor
) -> torch.Tensor:
    """A scale for each token and each output."""
    if x.is_cuda:
        return product(x, weight, scale_x, scale_weight, True)
    return product(x, weight, scale_x, scale_weight.t(), True)


def _all(parts: list[Callable[[], torch.Tensor]], call: int) -> None:
    for part in parts:
        part()
