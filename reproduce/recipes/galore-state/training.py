"""Peak memory of real training steps at the largest shape: AdamW in bf16, and 8-bit GaLore layer by layer."""

import time
from contextlib import nullcontext
from functools import partial

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.memory import LiveBytes, tensor_bytes
from reproduce.recipes.toolbox import release, synchronise

from . import galore, llama, states

EVERY = 200  # steps for which one basis serves
TOLERANCE = 0.01


def measure(context: Context) -> None:
    """Measures total_saving; guards that states on the device are those counted without memory."""
    name, peaks = context["shape"], {}
    for index, arm in enumerate(("adamw", "galore 8-bit")):
        context.progress(0.15 + 0.1 * index, f"a step of {name} by {arm}")
        peaks[arm], held = _peak(context, name, arm)
        counted = states.held(name, arm)
        context.guard(
            f"states_{arm.split()[0]}",
            abs(held - counted) / counted,
            TOLERANCE,
            f"The optimizer held {held} bytes on the device, {counted} when counted without memory.",
        )
        release(context.device)
    svd = _svd_seconds(context, name)
    context.measure(
        "total_saving",
        1 - peaks["galore 8-bit"] / peaks["adamw"],
        detail={
            "shape": name,
            "tokens": context["tokens"],
            "peak_bytes": peaks,
            "svd_seconds_per_square_matrix": svd,
            "svd_seconds_per_square_matrix_and_step": svd / EVERY,
        },
    )


def _peak(context: Context, name: str, arm: str) -> tuple[int, int]:
    """Most bytes at once in the second of two steps, weights included; and bytes of the states."""
    device, shape = context.device, llama.SHAPES[name]
    synchronise(device)
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    live = LiveBytes()
    tokens = torch.randint(shape.vocabulary, (1, context["tokens"] + 1), device=device)
    with live if device.type == "cpu" else nullcontext():
        model = llama.build(name, device)
        optimizer = states.optimizer_of(model, name, arm)
        step = partial(_step, model, optimizer, tokens, layerwise=arm != "adamw")
        step()
        live.peak = live.now
        if device.type == "cuda":
            release(device)
            torch.cuda.reset_peak_memory_stats(device)
        step()
    held = tensor_bytes(galore.kept(optimizer))
    if device.type == "cpu":
        return live.peak, held
    synchronise(device)
    return torch.cuda.max_memory_allocated(device) - before, held


def _step(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, tokens: torch.Tensor, *, layerwise: bool
) -> None:
    """Layer by layer, a parameter is updated as soon as its gradient is there, and the gradient dropped."""
    hooks = []
    if layerwise:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                hooks.append(parameter.register_post_accumulate_grad_hook(partial(_apply, optimizer, group)))
    model.loss(tokens).backward()
    for hook in hooks:
        hook.remove()
    if not layerwise:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def _apply(optimizer: galore.GaLore, group: dict[str, object], parameter: torch.nn.Parameter) -> None:
    optimizer.update(parameter, group)
    parameter.grad = None


def _svd_seconds(context: Context, name: str) -> float:
    """Seconds of one exact SVD of a square matrix of the model's width, fp32."""
    matrix = torch.randn(llama.SHAPES[name].width, llama.SHAPES[name].width, device=context.device)
    synchronise(context.device)
    begun = time.perf_counter()
    torch.linalg.svd(matrix, full_matrices=False)
    synchronise(context.device)
    return time.perf_counter() - begun
