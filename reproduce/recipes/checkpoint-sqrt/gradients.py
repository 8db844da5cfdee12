"""Correctness first: recomputation changes no bit of a gradient and costs no more than a forward pass."""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from reproduce.recipes.context import Context

from . import chains, checkpointing

BLOCKS, WIDTH, LENGTH, IMAGE = 10, 64, 32, 32


def check(context: Context) -> None:
    """Guards the gradients of both ways on both kinds of chain, and how often a layer runs."""
    device = context.device
    nets = {
        "transformer": (chains.transformer(BLOCKS, WIDTH, LENGTH, device), (2, LENGTH, WIDTH)),
        "residual_net": (chains.residual_net((1, 2, 3, 1), device), (2, 3, IMAGE, IMAGE)),
    }
    for name, (layers, shape) in nets.items():
        x = torch.randn(shape, device=device)
        exact = _gradients(checkpointing.plain, layers, x)
        for way in ("every_sqrt", "recursive"):
            found = _gradients(getattr(checkpointing, way), layers, x)
            apart = torch.stack([(a - b).abs().max() for a, b in zip(found, exact, strict=True)])
            context.guard(
                f"same_gradients_{way}_{name}",
                apart.nan_to_num(nan=1e9).max().item(),
                0.0,
                "Largest difference of a parameter's gradient to plain autograd, fp32, same kernels.",
            )
    _guard_work(context, *nets["transformer"])


def _gradients(way: checkpointing.Way, layers: list[nn.Module], x: torch.Tensor) -> list[torch.Tensor]:
    """Of every parameter, with kernels that always add in the same order; zero where none arrived."""
    with (
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
    ):
        out = way(layers, x)
        arriving = torch.linspace(-1, 1, out.numel(), device=x.device).view_as(out)
        found = torch.autograd.grad(
            out, chains.parameters(layers), arriving, allow_unused=True, materialize_grads=True
        )
    return list(found)


def _guard_work(context: Context, layers: list[nn.Module], shape: tuple[int, ...]) -> None:
    runs = [0]

    def count(*_: object) -> None:
        runs[0] += 1

    hooks = [layer.register_forward_pre_hook(count) for layer in layers]
    x = torch.randn(shape, device=context.device)
    checkpointing.step(checkpointing.every_sqrt, layers, x, torch.ones_like(x))
    for hook in hooks:
        hook.remove()
    context.guard(
        "one_more_forward",
        runs[0] / len(layers),
        2.0,
        "How often a layer ran forward in one step: once, and once more to recompute.",
    )
