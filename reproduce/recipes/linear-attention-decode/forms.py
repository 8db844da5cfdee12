"""Causal linear attention in its three forms; all tensors are (batch, heads, n, width).

out_n = sum over m <= n of (f(q_n) . f(k_m)) v_m / sum of the same without v, with f(x) = elu(x) + 1.
Source: the paper, equations 7 to 12 and 16 to 20.
"""

from collections.abc import Callable

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decoding import first_right
from reproduce.recipes.context import Context

from . import kernel

LIMIT = 1e-5  # RECIPES, section 20
EPSILON = 1e-6  # the paper's code adds it to the norm: far below zero the features round to nothing
Update = Callable[..., torch.Tensor]  # (state, sums, q, k, v) -> out


def features(x: torch.Tensor) -> torch.Tensor:
    """elu(x) + 1: positive everywhere."""
    return functional.elu(x) + 1


def quadratic(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """With the n x n matrix."""
    weights = (features(q) @ features(k).transpose(-2, -1)).tril()
    return (weights @ v) / (weights.sum(-1, keepdim=True) + EPSILON)


def chunked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, chunk: int = 128) -> torch.Tensor:
    """Quadratic inside chunks; the state between them is a running sum. n is whole chunks, or below one."""
    chunk = min(chunk, q.shape[2])
    q, k, v = (x.unflatten(2, (-1, chunk)) for x in (features(q), features(k), v))
    inside = (q @ k.transpose(-2, -1)).tril()
    states = _before((k.transpose(-2, -1) @ v).float()).to(q.dtype)
    sums = _before(k.float().sum(-2)).to(q.dtype)
    norm = inside.sum(-1, keepdim=True) + q @ sums[..., None] + EPSILON
    return ((inside @ v + q @ states) / norm).flatten(2, 3)


def _before(added: torch.Tensor) -> torch.Tensor:
    """What all chunks before each have added; chunks are the third dimension."""
    return added.cumsum(2) - added


def update(
    state: torch.Tensor, sums: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    """One token, (batch, heads, width) each; the fp32 state (..., K, V) and sums (..., K) move on."""
    q, k, dtype = features(q.to(state.dtype)), features(k.to(state.dtype)), q.dtype
    state.add_(k[..., :, None] * v[..., None, :])
    sums.add_(k)
    norm = (q * sums).sum(-1, keepdim=True) + EPSILON
    return ((q[..., None, :] @ state).squeeze(-2) / norm).to(dtype)


def recurrent(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, step: Update) -> torch.Tensor:
    """Token by token."""
    state = torch.zeros(*q.shape[:2], q.shape[3], v.shape[3], dtype=q.dtype, device=q.device)
    sums = torch.zeros(q.shape[:2] + q.shape[3:], dtype=q.dtype, device=q.device)
    tokens = range(q.shape[2])
    return torch.stack([step(state, sums, q[:, :, n], k[:, :, n], v[:, :, n]) for n in tokens], dim=2)


def fast_update(context: Context) -> tuple[str, Update]:
    """The update in one kernel if this device has it and it is right, else operation by operation."""
    tried = ({"one kernel": kernel.update} if kernel.AVAILABLE else {}) | {"separate operations": update}
    device = context.device
    name = first_right(tried, lambda step: _errors(device, step)["recurrent"], LIMIT, context.log)
    return name, tried[name]


def check(context: Context) -> None:
    """Guards that the chunked and the recurrent form are the quadratic one, and that no norm vanishes."""
    name, step = fast_update(context)
    for form, error in _errors(context.device, step).items():
        context.guard(
            f"{form}_is_quadratic",
            error,
            LIMIT,
            f"Relative difference in fp32 of the {form} form ({name}) from the quadratic one in 64 bits.",
        )
    x = -30 - torch.rand(1, 2, 256, 32, device=context.device)  # features round to zero
    lost = 1 - torch.isfinite(chunked(x, x, x, 64)).float().mean().item()
    detail = "Share of results that are not finite where queries and keys are far below zero."
    context.guard("norm_never_vanishes", lost, 0.0, detail)


def _errors(device: torch.device, step: Update) -> dict[str, float]:
    generator = torch.Generator().manual_seed(7)
    q, k, v = (torch.randn(2, 2, 96, 32, generator=generator).to(device) for _ in range(3))
    right = quadratic(*(x.double() for x in (q, k, v)))
    found = {"chunked": chunked(q, k, v, 32), "recurrent": recurrent(q, k, v, step)}
    return {form: ((out - right).norm() / right.norm()).item() for form, out in found.items()}
