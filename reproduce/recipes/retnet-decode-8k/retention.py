"""Retention in its three forms; queries and keys (batch, heads, n, K), values (batch, heads, n, V).

out_n = sum over m <= n of decay^(n - m) (q_n . k_m / sqrt K) v_m. Source: the paper, section 2.1.
"""

from collections.abc import Callable

import torch

from reproduce.recipes.blocks.decoding import first_right
from reproduce.recipes.context import Context

from . import kernel

LIMIT = 1e-4  # RECIPES, section 30
Update = Callable[..., torch.Tensor]  # (state, q, k, v, decays) -> out


def decays(heads: int, device: torch.device) -> torch.Tensor:
    """(heads,) 1 - 2^(-5 - head)."""
    return 1 - 2.0 ** (-5 - torch.arange(heads, device=device, dtype=torch.float32))


def powers(decay: torch.Tensor, length: int) -> torch.Tensor:
    """(heads, n, n): decay^(row - column), zero above the diagonal."""
    at = torch.arange(length, device=decay.device, dtype=decay.dtype)
    back = at[:, None] - at
    return torch.where(back >= 0, decay[:, None, None] ** back.clamp(min=0), 0)


def parallel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
    """All tokens at once, with an n x n matrix."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return (scores * powers(decay, q.shape[2]).to(scores.dtype)) @ v


def chunkwise(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor, chunk: int
) -> torch.Tensor:
    """Parallel inside chunks; between them a state, whose recurrence is one product. n is whole chunks."""
    q, k, v = (x.unflatten(2, (-1, chunk)) for x in (q * q.shape[-1] ** -0.5, k, v))
    count, at = q.shape[2], torch.arange(chunk, device=q.device, dtype=decay.dtype)
    inside = powers(decay, chunk)[:, None].to(q.dtype)
    to_end = (decay[:, None] ** (chunk - 1 - at))[:, None, :, None].to(q.dtype)
    from_start = (decay[:, None] ** (at + 1))[:, None, :, None].to(q.dtype)
    added = (k * to_end).transpose(-2, -1) @ v  # what each chunk adds: (batch, heads, chunks, K, V)
    carried = powers(decay**chunk, count)[:, :-1, :-1].to(q.dtype)  # state before chunk c + 1
    before = (carried @ added[:, :, :-1].flatten(3)).unflatten(3, added.shape[3:])
    before = torch.cat((torch.zeros_like(before[:, :, :1]), before), dim=2) if count > 1 else 0 * added
    return (((q @ k.transpose(-2, -1)) * inside) @ v + (q * from_start) @ before).flatten(2, 3)


def update(
    state: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor
) -> torch.Tensor:
    """One token: the fp32 state (batch, heads, K, V) moves on in place; out is (batch, heads, V)."""
    state.mul_(decay[:, None, None]).add_(k.to(state.dtype)[..., :, None] * v[..., None, :])
    out = (q.to(state.dtype)[..., None, :] @ state).squeeze(-2) * q.shape[-1] ** -0.5
    return out.to(q.dtype)


def recurrent(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor, step: Update
) -> torch.Tensor:
    """Token by token."""
    state = torch.zeros(*q.shape[:2], q.shape[3], v.shape[3], dtype=decay.dtype, device=q.device)
    tokens = range(q.shape[2])
    return torch.stack([step(state, q[:, :, n], k[:, :, n], v[:, :, n], decay) for n in tokens], dim=2)


def fast_update(context: Context) -> tuple[str, Update]:
    """The update in one kernel if this device has it and it is right, else operation by operation."""
    tried = ({"one kernel": kernel.update} if kernel.AVAILABLE else {}) | {"separate operations": update}
    device = context.device
    name = first_right(tried, lambda step: _disagreement(device, step)["recurrent"], LIMIT, context.log)
    return name, tried[name]


def check(context: Context) -> None:
    """Guards that the chunkwise form and the recurrent one are the parallel one, in fp32."""
    name, step = fast_update(context)
    for form, error in _disagreement(context.device, step).items():
        context.guard(
            f"{form}_is_parallel",
            error,
            LIMIT,
            f"Relative difference in fp32 of the {form} form ({name}) from the parallel one in 64 bits.",
        )


def _disagreement(device: torch.device, step: Update, length: int = 64) -> dict[str, float]:
    generator = torch.Generator().manual_seed(7)
    q, k, v = (torch.randn(2, 2, length, width, generator=generator).to(device) for width in (64, 64, 128))
    decay = decays(2, device)
    exact = parallel(*(x.double() for x in (q, k, v, decay)))
    found = {
        "chunkwise": chunkwise(q, k, v, decay, length // 4),
        "recurrent": recurrent(q, k, v, decay, step),
    }
    return {form: ((out - exact).norm() / exact.norm()).item() for form, out in found.items()}
