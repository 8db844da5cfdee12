"""The selective scan h[t] = exp(dt A) h[t-1] + dt B x, y[t] = C h[t]: fused, parallel, sequential.

x, dt, y are (rows, channels, length), A (groups, channels, states), B, C (rows, length, states); a row uses
the A of its group, and each group has equally many rows. Source: arXiv:2312.00752, section 3.
"""

import importlib
from collections.abc import Callable
from typing import Any

import torch

try:
    kernels: Any = importlib.import_module(f"{__package__}.scan_kernels")
except ImportError:  # no Triton: the scan is then sequential
    kernels = None

Scan = Callable[..., torch.Tensor]
Given = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def selective_scan(
    x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """y, by the fused kernel on a GPU; differentiable, also for several models at once (torch.vmap)."""
    if kernels is not None and x.is_cuda:
        return Fused.apply(x, dt, a, b, c)[0]
    return sequential(x, dt, a, b, c)


class Fused(torch.autograd.Function):
    """The kernels; some states are kept for the way back, all others computed again there.

    They want the channels of a token side by side: inputs that lie otherwise are copied first.
    """

    @staticmethod
    def forward(
        x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        keep = any(tensor.requires_grad for tensor in (x, dt, a, b, c))
        y, states = kernels.forward(*_by_token(x, dt), *_packed(a, b, c), keep=keep)
        return y.mT, states

    @staticmethod
    def setup_context(ctx: Any, inputs: Given, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        ctx.save_for_backward(*inputs, output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, arriving: torch.Tensor, _: torch.Tensor) -> Given:
        x, dt, a, b, c, states = ctx.saved_tensors
        x, dt, arriving = _by_token(x, dt, arriving)
        of_x, of_dt, *others = kernels.backward(x, dt, *_packed(a, b, c), arriving, states)
        return of_x.mT, of_dt.mT, *others

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *given: torch.Tensor
    ) -> tuple[tuple[torch.Tensor, ...], tuple[int, int]]:
        """Several models at once are more rows, in groups."""
        folded = (
            (
                tensor.unsqueeze(0).expand(info.batch_size, *tensor.shape)
                if at is None
                else tensor.movedim(at, 0)
            )
            for tensor, at in zip(given, in_dims, strict=True)
        )
        found = Fused.apply(*(tensor.flatten(0, 1) for tensor in folded))
        return tuple(tensor.unflatten(0, (info.batch_size, -1)) for tensor in found), (0, 0)


def _by_token(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """(rows, channels, length) each, to (rows, length, channels) in that order in memory."""
    return tuple(tensor.mT.contiguous() for tensor in tensors)


def _packed(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(tensor.contiguous() for tensor in tensors)


def sequential(
    x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """y, token by token in the inputs' format: the reference, and what a CPU does."""
    decay, added = _discrete(x, dt, a, b)
    state, out = torch.zeros_like(added[:, 0]), []
    for t in range(x.shape[-1]):
        state = decay[:, t] * state + added[:, t]
        out.append((state * c[:, t, None]).sum(-1))
    return torch.stack(out, dim=-1)


def parallel(
    x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> torch.Tensor:
    """y, by a parallel scan of PyTorch operations with every state in memory, in fp32; work is linear."""
    states = scan_pairs(*_discrete(x.float(), dt.float(), a, b.float()))
    return (states @ c.float()[..., None])[..., 0].transpose(1, 2).to(x.dtype)


def scan_pairs(decay: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    """h[t] = decay[t] h[t-1] + added[t] along dim 1: neighbours joined, half as many scanned, filled in."""
    length = decay.shape[1]
    if length == 1:
        return added
    even, odd = slice(0, length - length % 2, 2), slice(1, None, 2)
    joined = decay[:, odd] * added[:, even] + added[:, odd]
    at_odd = scan_pairs(decay[:, odd] * decay[:, even], joined)
    later = decay[:, 2::2] * at_odd[:, : (length - 1) // 2] + added[:, 2::2]
    out = torch.empty_like(added)
    out[:, odd], out[:, :1], out[:, 2::2] = at_odd, added[:, :1], later
    return out


def _discrete(
    x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """exp(dt A) and dt B x, (batch, length, channels, states) each."""
    rows = a.repeat_interleave(x.shape[0] // a.shape[0], dim=0)
    step = dt.transpose(1, 2)[..., None]
    return torch.exp(step * rows[:, None]), step * x.transpose(1, 2)[..., None] * b[:, :, None]
