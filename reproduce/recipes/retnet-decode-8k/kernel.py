"""One token of retention as a Triton kernel: the state is read once and written once."""

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU has no need of it
    triton = None

AVAILABLE = triton is not None and torch.cuda.is_available()
COLUMNS = 32  # of the state for each program


def update(
    state: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, decay: torch.Tensor
) -> torch.Tensor:
    """As retention.update; q, k and v may be slices whose last dimension is contiguous."""
    batch, heads, key_width, width = state.shape
    out = torch.empty((batch, heads, width), dtype=q.dtype, device=q.device)
    strides = (*q.stride()[:2], *k.stride()[:2], *v.stride()[:2])
    _update[(batch * heads, width // COLUMNS)](
        *(state, q, k, v, decay, out, heads, key_width**-0.5, *strides),
        **{"KEY": key_width, "WIDTH": width, "BLOCK": COLUMNS},
    )
    return out


if triton is not None:

    @triton.jit
    def _update(  # noqa: ANN202 - Triton reads the annotations itself
        state, q, k, v, decay, out, heads, scale,  # noqa: ANN001
        q_batch, q_head, k_batch, k_head, v_batch, v_head,  # noqa: ANN001
        KEY: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
    ):  # fmt: skip
        """One head of one sequence, and BLOCK columns of its state."""
        pair = tl.program_id(0).to(tl.int64)
        sequence, head = pair // heads, pair % heads
        rows, columns = tl.arange(0, KEY), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        query = tl.load(q + sequence * q_batch + head * q_head + rows).to(tl.float32)
        key = tl.load(k + sequence * k_batch + head * k_head + rows).to(tl.float32)
        value = tl.load(v + sequence * v_batch + head * v_head + columns).to(tl.float32)
        place = state + pair * KEY * WIDTH + rows[:, None] * WIDTH + columns[None, :]
        moved = tl.load(place) * tl.load(decay + head) + key[:, None] * value[None, :]
        tl.store(place, moved)
        result = tl.sum(moved * query[:, None], 0) * scale
        tl.store(out + pair * WIDTH + columns, result.to(out.dtype.element_ty))
