"""One token of linear attention as a Triton kernel: features, state, norm and result in one pass."""

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU has no need of it
    triton = None

AVAILABLE = triton is not None and torch.cuda.is_available()


def update(
    state: torch.Tensor, sums: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    """As forms.update; q, k and v may be slices whose last dimension is contiguous."""
    batch, heads, key_width, width = state.shape
    out = torch.empty((batch, heads, width), dtype=q.dtype, device=q.device)
    strides = (*q.stride()[:2], *k.stride()[:2], *v.stride()[:2])
    _update[(batch * heads,)](
        *(state, sums, q, k, v, out, heads, *strides),
        **{"KEY": key_width, "WIDTH": width, "num_warps": 1},
    )
    return out


if triton is not None:

    @triton.jit
    def _update(  # noqa: ANN202 - Triton reads the annotations itself
        state, sums, q, k, v, out, heads,  # noqa: ANN001
        q_batch, q_head, k_batch, k_head, v_batch, v_head,  # noqa: ANN001
        KEY: tl.constexpr, WIDTH: tl.constexpr,
    ):  # fmt: skip
        """One head of one sequence; 1e-6 is forms.EPSILON."""
        pair = tl.program_id(0).to(tl.int64)
        sequence, head = pair // heads, pair % heads
        rows, columns = tl.arange(0, KEY), tl.arange(0, WIDTH)
        query = tl.load(q + sequence * q_batch + head * q_head + rows).to(tl.float32)
        key = tl.load(k + sequence * k_batch + head * k_head + rows).to(tl.float32)
        value = tl.load(v + sequence * v_batch + head * v_head + columns).to(tl.float32)
        query = tl.where(query > 0, query + 1, tl.exp(query))
        key = tl.where(key > 0, key + 1, tl.exp(key))
        place = state + pair * KEY * WIDTH + rows[:, None] * WIDTH + columns[None, :]
        moved = tl.load(place) + key[:, None] * value[None, :]
        total = tl.load(sums + pair * KEY + rows) + key
        tl.store(place, moved)
        tl.store(sums + pair * KEY + rows, total)
        result = tl.sum(moved * query[:, None], 0) / (tl.sum(query * total, 0) + 1e-6)
        tl.store(out + pair * WIDTH + columns, result.to(out.dtype.element_ty))
