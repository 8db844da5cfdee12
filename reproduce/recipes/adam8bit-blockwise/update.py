"""Time of one update: 32-bit Adam by PyTorch's fused kernel, 8-bit Adam by ours, over numbers of weights."""

import importlib
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from reproduce.recipes.blocks.eight_bit import Adam8bit, Quantised
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

BETAS, RATE = (0.9, 0.95), 1e-3
TRAFFIC = {"32-bit": 28, "8-bit": 16}  # bytes a weight: weight twice, gradient, both moments twice
LIMIT = 1e-3
Step = Callable[[torch.Tensor], None]


def measure(context: Context, ceilings: Probe) -> None:
    """Measures update_speedup at the largest size; guards the fused kernel; charts by size."""
    sizes = context["sizes"]
    found = {}
    for index, size in enumerate(sizes):
        context.progress(0.1 + 0.2 * index / len(sizes), f"updates of {size:,} weights")
        found[size] = _time(context, size, 3.0 if size == sizes[-1] else 0.5)
        release(context.device)
    guard_fused(context)
    last, bound = found[sizes[-1]], TRAFFIC["32-bit"] / TRAFFIC["8-bit"]
    context.keep("update", last)
    least = {name: 1e3 * ceilings.least_time(moved=each * sizes[-1]) for name, each in TRAFFIC.items()}
    context.measure(
        "update_speedup",
        last.speedup("8-bit"),
        predicted=bound,
        predicted_note="28 bytes a weight against 16.",
        noise=last.noise(),
        detail={
            "weights": sizes[-1],
            "arms": last.figures(),
            "gigabytes_per_s": {
                name: each * sizes[-1] / last.median(name).value / 1e6 for name, each in TRAFFIC.items()
            },
            "fraction_of_limit": {
                "candidate": least["8-bit"] / last.median("8-bit").value,
                "baseline": least["32-bit"] / last.median("32-bit").value,
            },
        },
    )
    context.chart(
        "update_by_size",
        "Speed of an 8-bit update relative to a 32-bit one",
        ("Weights", "", True),
        ("Speed-up", "x", False),
        [
            curve("8-bit Adam", sizes, [each.speedup("8-bit") for each in found.values()]),
            level("roofline limit", sizes, bound),
        ],
    )


def stepper(weight: torch.Tensor) -> Step:
    """8-bit Adam on one flat tensor: our fused kernel on a GPU, else the optimizer operation by operation."""
    if weight.is_cuda:
        kernel = importlib.import_module(".kernel", __package__)  # needs Triton
        moments = tuple(Quantised.zeros(weight.numel(), weight.device, signed) for signed in (True, False))
        return partial(kernel.FusedAdam8bit(weight, moments).step, rate=RATE, betas=BETAS)
    return reference(weight)


def reference(weight: torch.Tensor) -> Step:
    """8-bit Adam by the optimizer that also trains the small model."""
    parameter = nn.Parameter(weight)
    optimizer = Adam8bit([parameter], lr=RATE, betas=BETAS)

    def step(gradient: torch.Tensor) -> None:
        parameter.grad = gradient
        optimizer.step()

    return step


def guard_fused(context: Context) -> None:
    """Guards that the timed update is the one that trains: same weights after ten steps."""
    ends = []
    for make in (reference, stepper):
        generator = torch.Generator(context.device).manual_seed(3)
        weight = torch.zeros(2048 * 5 + 100, device=context.device)
        step = make(weight)
        for _ in range(10):
            step(torch.randn(len(weight), device=context.device, generator=generator))
        ends.append(weight)
    context.guard(
        "fused_same",
        torch.nan_to_num((ends[1] - ends[0]).norm() / ends[0].norm(), nan=1.0).item(),
        LIMIT,
        "Relative distance of the weights after ten updates, timed kernel against plain operations.",
    )


def _time(context: Context, size: int, seconds: float) -> Comparison:
    gradients = [torch.randn(size, device=context.device) for _ in range(1 if size > 10**8 else 2)]
    wide = nn.Parameter(torch.zeros(size, device=context.device))
    adam = torch.optim.AdamW([wide], lr=RATE, betas=BETAS, weight_decay=0.0, fused=True)

    def plain(call: int) -> None:
        wide.grad = gradients[call % len(gradients)]
        adam.step()

    narrow = stepper(torch.zeros(size, device=context.device))
    arms = {"32-bit": plain, "8-bit": lambda call: narrow(gradients[call % len(gradients)])}
    how = profile(context.preset, KERNEL, max_s=seconds, min_s=min(seconds, 0.3), min_rounds=10)
    return compare(arms, "32-bit", how, context.device)
