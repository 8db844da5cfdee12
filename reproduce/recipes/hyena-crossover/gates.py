"""What lies around the FFT, and its derivative: short convolutions and gates, by Triton kernels on a GPU.

Signals are (batch, n, width) outside and (batch, width, n) around the FFT.
"""

import importlib
from typing import Any

import torch
from torch.nn import functional

try:
    kernels: Any = importlib.import_module(f"{__package__}.gate_kernels")
except ImportError:  # no Triton: operations of PyTorch
    kernels = None

Pair = tuple[torch.Tensor, torch.Tensor]


def enter(u: torch.Tensor, short: torch.Tensor) -> Pair:
    """(batch, n, 3 width), short kernels (3, 3 width) -> gate (batch, width, n), product padded to 2 n."""
    if kernels is not None and u.is_cuda:
        return Enter.apply(u.contiguous(), short.contiguous())
    return plain_enter(u, short)


def leave(mixed: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """The second gate, and back to (batch, n, width)."""
    if kernels is not None and mixed.is_cuda:
        return Leave.apply(mixed, gate)
    return plain_leave(mixed, gate)


def plain_enter(u: torch.Tensor, short: torch.Tensor) -> Pair:
    """`enter` by operations of PyTorch."""
    length = u.shape[1]
    past = functional.pad(u, (0, 0, 2, 0))
    u = past[:, :length] * short[0] + past[:, 1 : length + 1] * short[1] + u * short[2]
    gate, other, value = u.transpose(1, 2).chunk(3, dim=1)
    return gate.contiguous(), functional.pad((other * value).float(), (0, length)).contiguous()


def plain_leave(mixed: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """`leave` by operations of PyTorch."""
    return (gate * mixed.to(gate.dtype)).transpose(1, 2).contiguous()


class Enter(torch.autograd.Function):
    """On the way back, the short convolutions are computed again."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, short: torch.Tensor) -> Pair:
        ctx.save_for_backward(u, short)
        return kernels.enter(u, short)

    @staticmethod
    def backward(ctx: Any, of_gate: torch.Tensor, of_padded: torch.Tensor) -> Pair:
        return kernels.enter_back(*ctx.saved_tensors, of_gate.contiguous(), of_padded.contiguous())


class Leave(torch.autograd.Function):
    """`mixed` may be the first part of wider rows."""

    @staticmethod
    def forward(ctx: Any, mixed: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(mixed, gate)
        return kernels.leave(mixed, gate)

    @staticmethod
    def backward(ctx: Any, arriving: torch.Tensor) -> Pair:
        return kernels.leave_back(*ctx.saved_tensors, arriving.contiguous())
