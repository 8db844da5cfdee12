"""Weak and strong scaling of forward and backward: FLOP a second and device, on two devices against one."""

from functools import partial

import torch
from torch import nn

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, STEP, Comparison, compare, profile

from . import split

ONE, WEAK, STRONG, SILENT = "one device", "weak", "strong", "weak without all-reduces"
CLAIMED = 0.95
SHAPES = {
    "full": (split.Shape(40, 1536, 16), split.Shape(54, 1920, 20)),  # the paper's 1.2 and 2.5 billion
    "smoke": (split.Shape(2, 64, 4), split.Shape(2, 96, 6)),
}


def measure(context: Context, ceilings: Probe) -> None:
    """Measures weak_efficiency, strong_efficiency, exposed_share and utilisation; charts by device count."""
    context.progress(0.2, "training steps")
    small, large = SHAPES[context.preset]
    several = split.Ways(context.world_size, context.rank)
    silent = split.Ways(context.world_size, context.rank, talks=False)
    kinds = {
        ONE: (small, split.Ways()),
        WEAK: (large, several),
        STRONG: (small, several),
        SILENT: (large, silent),
    }
    arms = {name: partial(_step, *_made(context, *kind)) for name, kind in kinds.items()}
    how = profile(context.preset, STEP, max_s=8.0, min_s=4.0, min_rounds=10, warm_up_calls=3, calls=1)
    found = compare(arms, ONE, how, context.device)
    context.keep("steps", found)
    sizes = (context["batch"], context["length"])
    work = large.flop(*sizes) / context.world_size / small.flop(*sizes)  # of a device, relative to one alone
    weak = _times(found.speedup(WEAK), work)
    sent = _all_reduce_ms(context, large) * 4 * large.layers
    ideal = found.median(ONE).value * work
    least = {shape: 1e3 * ceilings.least_time(shape.least_flop(*sizes)) for shape in (small, large)}
    context.measure(
        "weak_efficiency",
        weak,
        predicted=ideal / (ideal + sent),
        predicted_note=f"Four all-reduces a layer, {sent:.3g} ms in all, as fast as alone and not hidden.",
        noise=found.noise(),
        detail={
            "arms": found.figures(),
            "work_of_a_device": work,
            "fraction_of_limit": {
                "candidate": least[large] / context.world_size / found.median(WEAK).value,
                "baseline": least[small] / found.median(ONE).value,
            },
        },
    )
    strong = _times(found.speedup(STRONG), 1 / context.world_size)
    context.measure("strong_efficiency", strong, noise=found.noise())
    exposed = found.speedup(WEAK, SILENT)  # time without, relative to with
    context.measure(
        "exposed_share", Interval(1 - exposed.value, 1 - exposed.high, 1 - exposed.low, exposed.n)
    )
    _utilisation(context, ceilings, found, small.flop(*sizes))
    devices = [1, context.world_size]
    alone = Interval(1.0, 1.0, 1.0, weak.n)
    context.chart(
        "efficiency",
        "Arithmetic a second and device, relative to one device",
        ("Devices", "", False),
        ("Efficiency", "fraction", False),
        [
            curve("weak scaling", devices, [alone, weak]),
            curve("strong scaling", devices, [alone, strong]),
            level("claimed by the paper", devices, CLAIMED),
            level("roofline limit", devices, ideal / (ideal + sent)),
        ],
    )


def _utilisation(context: Context, ceilings: Probe, found: Comparison, flop: float) -> None:
    rate = found.median(ONE)
    context.measure(
        "utilisation",
        Interval(*(flop / (ceilings.half * ms / 1e3) for ms in (rate.value, rate.high, rate.low)), rate.n),
        detail={"flop": flop, "tflops": flop / rate.value / 1e9},
    )


def _times(given: Interval, factor: float) -> Interval:
    return Interval(given.value * factor, given.low * factor, given.high * factor, given.n)


def _made(
    context: Context, shape: split.Shape, ways: split.Ways
) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    half = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    data = split.data(shape, context["batch"], context["length"], context.device, half)
    return split.stack(shape, ways, context.device, half), *data


def _step(stack: nn.Module, x: torch.Tensor, arriving: torch.Tensor, call: int) -> None:
    """Forward and backward; gradients are dropped, as an optimizer would take the same time in all arms."""
    del call
    stack(x).backward(arriving)
    stack.zero_grad(set_to_none=True)


def _all_reduce_ms(context: Context, shape: split.Shape) -> float:
    """Milliseconds of one all-reduce of a layer's activations, alone."""
    half = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    x, _ = split.data(shape, context["batch"], context["length"], context.device, half)
    ways = split.Ways(context.world_size, context.rank)
    how = profile(context.preset, KERNEL, max_s=0.5, flush=False)
    return compare({"sum": lambda call: ways.summed(x)}, "sum", how, context.device).median("sum").value
