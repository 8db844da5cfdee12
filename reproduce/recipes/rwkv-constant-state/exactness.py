"""Correctness first: the scan against the formula in 64 bits, and the step against the parallel form."""

from types import ModuleType

import torch

from reproduce.recipes.blocks.decoding import first_right
from reproduce.recipes.context import Context

from . import kernel, operations, wkv
from .model import Rwkv

SCAN_LIMIT, LARGE_LIMIT, STEP_LIMIT = 1e-6, 1e-3, 1e-4
LARGE = 50.0  # e^50 twice is beyond 32 bits: only a scaled sum survives


def check(context: Context) -> None:
    """Guards the scan, with ordinary and large keys, and that steps give what the parallel form gives."""
    for name, scale, limit in (
        ("scan_is_exact", 1.0, SCAN_LIMIT),
        ("scan_survives_large_keys", LARGE, LARGE_LIMIT),
    ):
        context.guard(
            name,
            _scan_error(context.device, scale),
            limit,
            f"Relative error of the scan in fp32 against the formula in 64 bits; keys of size {scale:g}.",
        )
    name, small = small_operations(context)
    context.guard(
        "step_is_parallel",
        _step_error(context.device, small),
        STEP_LIMIT,
        f"Relative difference of the logits in fp32, token by token ({name}) against all at once.",
    )


def small_operations(context: Context) -> tuple[str, ModuleType]:
    """One kernel for each small operation if this device has them and they are right, else PyTorch's."""
    tried = ({"fused kernels": kernel} if kernel.AVAILABLE else {}) | {"separate operations": operations}
    name = first_right(tried, lambda small: _step_error(context.device, small), STEP_LIMIT, context.log)
    return name, tried[name]


def _scan_error(device: torch.device, scale: float) -> float:
    generator = torch.Generator().manual_seed(3)
    k, v = (torch.randn(2, 48, 16, generator=generator).to(device) for _ in range(2))
    w, u = torch.exp(torch.linspace(-5, 1, 16, device=device)), torch.linspace(-1, 1, 16, device=device)
    k = k * scale
    found, _ = wkv.scan(k, v, w, u, wkv.empty(2, 16, torch.float32, device))
    right = wkv.exact(k.double(), v.double(), w.double(), u.double())
    return ((found - right).norm() / right.norm()).item()


@torch.no_grad()
def _step_error(device: torch.device, small: ModuleType) -> float:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(4)
        model = Rwkv.random(2, 32, 2, 64, torch.float32, device)
        x = torch.randn(2, 20, 32, device=device)
    model.small = small
    found = torch.stack([model.step(x[:, n]) for n in range(20)], dim=1)
    for tensor, fresh in zip(
        model.kept(), Rwkv.random(2, 32, 2, 1, torch.float32, device).kept(), strict=True
    ):
        tensor.copy_(fresh)
    model.prefill(x[:, :7])
    right = model.prefill(x[:, 7:])
    return ((found[:, -1] - right).norm() / right.norm()).item()
