"""Time of the feed-forward's first product, LLM.int8() against 16 bits, at the widths of GPT-3's models."""

from functools import partial

import torch
from torch.nn import functional

from reproduce.recipes.blocks.int8 import Finish, Int8Weight, chosen, multiply, quantise_rows
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from .schemes import THRESHOLD

CLAIMED = 1.81
GAIN = 60.0
LIMIT = 5e-3  # of the part without outliers, which 16 bits of the whole result blur a little


def measure(context: Context, ceilings: Probe) -> None:
    """Measures speedup and speedup_without at the largest width; charts the first over widths."""
    widths = sorted(context["widths"])
    ratios: list[Interval] = []
    for index, width in enumerate(widths):
        context.progress(0.7 + 0.3 * index / len(widths), f"a product at width {width}")
        last = width == widths[-1]
        found = _compared(context, width, last)
        context.keep(f"width_{width}", found)
        ratios.append(found.speedup("LLM.int8()"))
        if last:
            _report(context, ceilings, found, width)
        release(context.device)
    context.chart(
        "speedup",
        "Speed of the feed-forward's first product, LLM.int8() against 16 bits",
        ("Width of the model", "", True),
        ("Speed-up", "x", False),
        [
            curve("LLM.int8()", widths, ratios),
            level("claimed by the paper", widths, CLAIMED),
            level("roofline limit", widths, 2.0),
        ],
    )
    guard(context)


def apart_product(x: torch.Tensor, weight: Int8Weight) -> torch.Tensor:
    """LLM.int8(): the outlier columns are found in the data; their weights are restored from int8."""
    largest = torch.linalg.vector_norm(x, torch.inf, dim=0)
    kept = largest <= THRESHOLD
    which = (~kept).nonzero()[:, 0]
    codes, scale = quantise_rows(x, kept)
    apart = (x[:, which].contiguous(), weight.columns(which)) if len(which) else None
    return multiply(codes, weight.codes, Finish(weight.scale, scale, apart=apart, kind=x.dtype))


def plain_product(x: torch.Tensor, weight: Int8Weight) -> torch.Tensor:
    """Vector-wise int8 alone."""
    codes, scale = quantise_rows(x)
    return multiply(codes, weight.codes, Finish(weight.scale, scale, kind=x.dtype))


def activations(context: Context, width: int) -> torch.Tensor:
    """(tokens, width) normal, with a few outlier columns."""
    x = torch.randn(context["tokens"], width, device=context.device)
    x[:, :: width // context["outliers"]][:, : context["outliers"]] *= GAIN
    return x.to(torch.float16 if context.device.type == "cuda" else torch.float32)


def _compared(context: Context, width: int, last: bool) -> Comparison:
    inputs = [activations(context, width) for _ in range(2)]
    dense = torch.randn(4 * width, width, device=context.device).to(inputs[0].dtype)
    weight = Int8Weight.of(dense)
    works = {
        "16-bit": lambda call: functional.linear(inputs[call % 2], dense),
        "LLM.int8()": lambda call: apart_product(inputs[call % 2], weight),
        "int8, nothing apart": lambda call: plain_product(inputs[call % 2], weight),
    }
    limits = {"max_s": 3.0} if last else {"max_s": 0.5, "min_rounds": 10}
    return compare(works, "16-bit", profile(context.preset, KERNEL, **limits), context.device)


def _report(context: Context, ceilings: Probe, found: Comparison, width: int) -> None:
    tokens, outputs = context["tokens"], 4 * width
    flop = 2.0 * tokens * width * outputs
    dense = ceilings.least_time(flop)
    # Int8 tensor cores are as fast as fp8 ones; the activations are read twice to be rounded.
    rate = "eighth" if ceilings.eighth else "half"
    eighth = ceilings.least_time(flop, rate=rate) + ceilings.least_time(moved=5.0 * tokens * width)
    limit = partial(_share_of_limit, found)
    for name, arm in {"speedup": "LLM.int8()", "speedup_without": "int8, nothing apart"}.items():
        context.measure(
            name,
            found.speedup(arm),
            predicted=dense / eighth,
            predicted_note="The product at the probed 8-bit rate, after the activations were rounded.",
            noise=found.noise(),
            detail={
                "fraction_of_limit": {"candidate": limit(arm, eighth), "baseline": limit("16-bit", dense)},
                "tokens": tokens,
                "width": width,
                "kernels": chosen(),
                "arms": found.figures(),
            },
        )


def _share_of_limit(found: Comparison, arm: str, seconds: float) -> float:
    return seconds * 1e3 / found.median(arm).value


def guard(context: Context) -> None:
    """Guards the whole product against float64 on the same codes, outlier columns on their own values."""
    width = min(context["widths"])
    x = activations(context, width)
    weight = Int8Weight.of(torch.randn(4 * width, width, device=context.device))
    kept = x.abs().amax(0) <= THRESHOLD
    inside = x.double() * kept
    scale = inside.abs().amax(1, keepdim=True) / 127
    restored = (weight.codes.double() * weight.scale.double()[:, None]).T
    ordinary = torch.round(inside / scale) * scale @ restored
    exact = ordinary + (x.double() * ~kept) @ restored
    error = ((apart_product(x, weight).double() - exact).norm() / ordinary.norm()).item()
    context.guard(
        "product",
        error,
        LIMIT,
        "Error against float64 on the same codes, relative to the part without outliers.",
    )
