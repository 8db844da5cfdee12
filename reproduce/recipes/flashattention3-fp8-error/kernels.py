"""Half-precision attention kernels: standard, FlashAttention-2 and cuDNN's; (batch, heads, n, d) tensors."""

import math
from collections.abc import Callable

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from reproduce.recipes.context import Context

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
STAND_IN = "cuDNN attention, in place of FlashAttention-3"


def standard(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Operation by operation, with every intermediate result in the format of the inputs."""
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1) @ v


def flash(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """FlashAttention-2, as PyTorch ships it."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return functional.scaled_dot_product_attention(q, k, v)


def cudnn(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """cuDNN's kernel, which uses Hopper's own instructions. RuntimeError where there is none."""
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        return functional.scaled_dot_product_attention(q, k, v)


def fastest(context: Context) -> tuple[str, Attend, list[int]]:
    """The kernel that stands for FlashAttention-3, its name, and the head widths it takes.

    FlashAttention-2 again, with all of them, if there is none.
    """
    widths = context["head_dims"]
    if context.device.type == "cuda" and (taken := [width for width in widths if _takes(context, width)]):
        return STAND_IN, cudnn, taken
    return "FlashAttention-2 again, as there is no faster kernel here", flash, widths


def _takes(context: Context, width: int) -> bool:
    q, k, v = (torch.randn(1, 1, 256, width, device=context.device).half() for _ in range(3))
    try:
        cudnn(q, k, v)
    except RuntimeError as error:
        context.log(f"cuDNN attention does not run here at d = {width}: {str(error)[:300]}")
        return False
    return True
