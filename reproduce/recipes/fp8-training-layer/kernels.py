"""Triton kernels: a cast to fp8 that also writes the transpose, and Adam on narrow states in one pass."""

# ruff: noqa: ANN001, ANN202 - Triton reads annotations of its own
import torch
import triton
import triton.language as tl

TILE = 64


@triton.jit
def _cast(x, out, transposed, scale, limit, rows, columns, BOTH: tl.constexpr, TILE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)[:, None]
    column = tl.program_id(1).to(tl.int64) * TILE + tl.arange(0, TILE)[None, :]
    inside = (row < rows) & (column < columns)
    values = tl.load(x + row * columns + column, mask=inside, other=0.0).to(tl.float32) / tl.load(scale)
    values = tl.minimum(tl.maximum(values, -limit), limit)
    narrow = values.to(out.dtype.element_ty)
    tl.store(out + row * columns + column, narrow, mask=inside)
    if BOTH:
        tl.store(transposed + column * rows + row, narrow, mask=inside)


def cast(
    x: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype, both: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The matrix divided by the scale in `dtype`, and its transpose if `both`."""
    x = x.contiguous()
    rows, columns = x.shape
    out = torch.empty(rows, columns, dtype=dtype, device=x.device)
    transposed = torch.empty(columns, rows, dtype=dtype, device=x.device) if both else None
    grid = (triton.cdiv(rows, TILE), triton.cdiv(columns, TILE))
    _cast[grid](
        x,
        out,
        transposed if both else out,
        scale,
        torch.finfo(dtype).max,
        rows,
        columns,
        BOTH=both,
        TILE=TILE,
    )
    return out, transposed


@triton.jit
def _adam(
    master,
    gradient,
    gradient_scale,
    first,
    first_scale,
    second,
    second_scale,
    factor,
    rate,
    beta_first,
    beta_second,
    eps,
    correct_first,
    correct_second,
    top_first,
    top_second,
    tiny,
    BLOCK: tl.constexpr,
):
    block = tl.program_id(0).to(tl.int64)
    at = block * BLOCK + tl.arange(0, BLOCK)
    g = tl.load(gradient + at).to(tl.float32) * tl.load(gradient_scale)
    m = tl.load(first + at).to(tl.float32) * tl.load(first_scale + block)
    v = tl.load(second + at).to(tl.float32) * tl.load(second_scale + block)
    w = tl.load(master + at).to(tl.float32) / factor
    m = beta_first * m + (1 - beta_first) * g
    v = beta_second * v + (1 - beta_second) * g * g
    w -= rate * (m * correct_first) / (tl.sqrt(v * correct_second) + eps)
    tl.store(master + at, (w * factor).to(master.dtype.element_ty))
    scale = tl.maximum(tl.max(tl.abs(m), axis=0), tiny) / top_first
    tl.store(first_scale + block, scale)
    tl.store(first + at, (m / scale).to(first.dtype.element_ty))
    scale = tl.maximum(tl.max(v, axis=0), tiny) / top_second
    tl.store(second_scale + block, scale)
    tl.store(second + at, (v / scale).to(second.dtype.element_ty))


def adam(
    master: torch.Tensor,
    gradient: torch.Tensor,
    gradient_scale: torch.Tensor,
    moments: list[torch.Tensor],
    numbers: list[float],
) -> None:
    """One update in place; see states.update, whose arguments these are, for the order of the numbers."""
    blocks, size = moments[0].shape
    _adam[(blocks,)](master, gradient, gradient_scale, *moments, *numbers, BLOCK=size, num_warps=8)
