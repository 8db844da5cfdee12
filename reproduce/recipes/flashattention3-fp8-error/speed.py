"""Speed of the forward pass in fp16: FlashAttention-2 against the kernel that stands for FlashAttention-3."""

import torch

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, Profile, compare, profile, release

from . import kernels
from .kernels import STAND_IN, Attend

FLASH, FAST = "FlashAttention-2", "candidate"
CLAIMED_RATE = 740.0
LIMIT = 2e-3  # relative error in fp16


def measure(context: Context, ceilings: Probe) -> None:
    """Measures speedup at the main shape and the best rate of the sweep; charts the sweep."""
    name, fast, widths = kernels.fastest(context)
    context.log(f"Speed candidate: {name}.")
    guard(context, fast, widths)
    lengths = context["speed_lengths"]
    found: dict[tuple[int, int], Comparison] = {}
    for index, width in enumerate(widths):
        context.progress(0.65 + 0.2 * index / len(widths), f"speed at d = {width}")
        for length in lengths:
            how = profile(context.preset, KERNEL, warm_up_calls=2, min_s=0.1, max_s=0.3)
            found[width, length] = _time(context, fast, width, length, how, again=False)
            context.samples[f"d = {width}, {length} tokens"] = dict(found[width, length].samples)
            release(context.device)
    _measures(context, ceilings, found, name, fast)
    _chart(context, ceilings, found, name)


def guard(context: Context, fast: Attend, widths: list[int]) -> None:
    """Guards the error of the speed candidate at each head width."""
    for width in widths:
        q, k, v = (torch.randn(1, 2, 512, width, device=context.device).half() for _ in range(3))
        exact = kernels.standard(q.double(), k.double(), v.double())
        error = ((fast(q, k, v).double() - exact).norm() / exact.norm()).item()
        context.guard(
            f"fast_kernel_d{width}", error, LIMIT, "Relative error of the speed candidate against fp64."
        )


def _shape(context: Context, width: int, length: int) -> tuple[int, int, int, int]:
    return max(1, context["tokens"] // length), max(1, context["hidden"] // width), length, width


def _flop(shape: tuple[int, int, int, int]) -> float:
    """4 n^2 d a head: the forward pass. Source: arXiv:2407.08608, section 4.1."""
    batch, heads, length, width = shape
    return 4 * batch * heads * length**2 * width


def _time(context: Context, fast: Attend, width: int, length: int, how: Profile, again: bool) -> Comparison:
    shape = _shape(context, width, length)
    sets = [[torch.randn(shape, device=context.device).half() for _ in range(3)] for _ in range(2)]
    arms = {
        FLASH: lambda call: kernels.flash(*sets[call % 2]),
        FAST: lambda call: fast(*sets[call % 2]),
    }
    return compare(arms, FLASH, how, context.device, again=again)


def _measures(
    context: Context, ceilings: Probe, found: dict[tuple[int, int], Comparison], name: str, fast: Attend
) -> None:
    context.progress(0.87, "speed at the main shape")
    widths = [width for width, _ in found]
    width = 128 if 128 in widths else widths[-1]
    length = context["speed_lengths"][-1]
    main = _time(context, fast, width, length, profile(context.preset, KERNEL, max_s=3.0), again=True)
    context.keep("main_shape", main)
    least = ceilings.least_time(_flop(_shape(context, width, length))) * 1e3
    by_cell = {f"d = {d}, {n} tokens": found[d, n].speedup(FAST).value for d, n in found}
    context.measure(
        "speedup",
        main.speedup(FAST),
        noise=main.noise(),
        detail={
            "kernel": name,
            "stand_in": name == STAND_IN,
            "head_dim": width,
            "length": length,
            "by_cell": by_cell,
            "arms": main.figures(),
            "fraction_of_limit": {
                "candidate": least / main.median(FAST).value,
                "baseline": least / main.median(FLASH).value,
            },
        },
    )
    best = max(found, key=lambda cell: _rate(context, found, cell, FAST).value)
    context.measure(
        "rate",
        _rate(context, found, best, FAST),
        predicted=ceilings.half / 1e12,
        predicted_note="What a large half-precision matrix product reached on this device just now.",
        detail={"kernel": name, "head_dim": best[0], "length": best[1]},
    )


def _rate(
    context: Context, found: dict[tuple[int, int], Comparison], cell: tuple[int, int], arm: str
) -> Interval:
    """TFLOP/s."""
    time, tera = found[cell].median(arm), _flop(_shape(context, *cell)) / 1e9
    return Interval(tera / time.value, tera / time.high, tera / time.low, time.n)


def _chart(context: Context, ceilings: Probe, found: dict[tuple[int, int], Comparison], name: str) -> None:
    lengths = context["speed_lengths"]
    lines = [
        curve(
            f"{FLASH if arm == FLASH else name.split(',')[0]}, d = {width}",
            lengths,
            [_rate(context, found, (width, length), arm) for length in lengths],
        )
        for width in dict.fromkeys(width for width, _ in found)
        for arm in (FLASH, FAST)
    ]
    context.chart(
        "rate_forward",
        "Arithmetic rate of the forward pass in fp16",
        ("Sequence length", "tokens", True),
        ("Rate", "TFLOP/s", False),
        [
            *lines,
            level("claimed by the paper", lengths, CLAIMED_RATE),
            level("roofline limit", lengths, ceilings.half / 1e12),
        ],
    )
