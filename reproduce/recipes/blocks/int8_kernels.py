# ruff: noqa: ANN001, ANN202 - Triton's arguments are pointers and constants
"""The Triton kernels of int8.py: each reads its input once or twice and writes its result once."""

from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from reproduce.recipes.blocks.int8 import Finish

VERSION = 2  # 1 had no product of its own
TILE = {"ROWS": 8, "COLUMNS": 512}
DEEP = 128  # inputs at once in a product
PRODUCTS = {  # tiles of a whole product by name, each with what the compiler needs to know
    "fused, 128 x 256": {"ROWS": 128, "COLUMNS": 256, "num_warps": 8, "num_stages": 3},
    "fused, 256 x 128": {"ROWS": 256, "COLUMNS": 128, "num_warps": 8, "num_stages": 3},
    "fused, 128 x 128": {"ROWS": 128, "COLUMNS": 128, "num_warps": 4, "num_stages": 4},
}
TOGETHER = 8  # tiles of rows that follow one another, so that they find the same weights in the cache


@triton.jit
def _code(value):
    """The nearest int8, ties upwards."""
    return tl.minimum(tl.maximum(tl.floor(value + 0.5), -127.0), 127.0).to(tl.int8)


@triton.jit
def _rows(
    x, kept, fixed, codes, scales, columns, MASKED: tl.constexpr, FIXED: tl.constexpr, STEP: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * columns
    if FIXED:
        scale = tl.load(fixed)
    else:
        largest = tl.zeros((STEP,), dtype=tl.float32)
        for first in range(0, columns, STEP):
            column = first + tl.arange(0, STEP)
            value = tl.load(x + row + column, mask=column < columns, other=0.0).to(tl.float32)
            if MASKED:
                value = value * tl.load(kept + column, mask=column < columns, other=0.0)
            largest = tl.maximum(largest, tl.abs(value))
        scale = tl.maximum(tl.max(largest, axis=0) / 127.0, 1e-12)
        tl.store(scales + tl.program_id(0), scale)
    for first in range(0, columns, STEP):
        column = first + tl.arange(0, STEP)
        value = tl.load(x + row + column, mask=column < columns, other=0.0).to(tl.float32)
        if MASKED:
            value = value * tl.load(kept + column, mask=column < columns, other=0.0)
        tl.store(codes + row + column, _code(value / scale), mask=column < columns)


@triton.jit
def _norm(x, weight, bias, scale, codes, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * columns
    column = tl.arange(0, BLOCK)
    inside = column < columns
    value = tl.load(x + row + column, mask=inside, other=0.0).to(tl.float32)
    mean = tl.sum(value, axis=0) / columns
    centred = tl.where(inside, value - mean, 0.0)
    spread = tl.sum(centred * centred, axis=0) / columns
    gain = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    base = tl.load(bias + column, mask=inside, other=0.0).to(tl.float32)
    normed = centred / tl.sqrt(spread + 1e-5) * gain + base
    tl.store(codes + row + column, _code(normed / tl.load(scale)), mask=inside)


@triton.jit
def _store(
    sums, row, column, row_scale, column_scale, bias, left, right, next_scale, out, rows, columns, apart,
    BY_ROW: tl.constexpr, BIASED: tl.constexpr, RELU: tl.constexpr, TO_CODES: tl.constexpr,
):  # fmt: skip
    """What follows a product, for the tile of its int32 sums at these rows and columns."""
    here, there = row < rows, column < columns
    known = here[:, None] & there[None, :]
    place = row.to(tl.int64)[:, None] * columns + column[None, :]
    value = sums.to(tl.float32) * tl.load(column_scale + column, mask=there, other=0.0)[None, :]
    if BY_ROW:
        value = value * tl.load(row_scale + row, mask=here, other=0.0)[:, None]
    for one in range(0, apart):
        a = tl.load(left + row * apart + one, mask=here, other=0.0).to(tl.float32)
        b = tl.load(right + one * columns + column, mask=there, other=0.0).to(tl.float32)
        value += a[:, None] * b[None, :]
    if BIASED:
        value += tl.load(bias + column, mask=there, other=0.0).to(tl.float32)[None, :]
    if RELU:
        value = tl.maximum(value, 0.0)
    if TO_CODES:
        tl.store(out + place, _code(value / tl.load(next_scale)), mask=known)
    else:
        tl.store(out + place, value.to(out.dtype.element_ty), mask=known)


@triton.jit
def _finish(
    sums, row_scale, column_scale, bias, left, right, next_scale, out, rows, columns, apart,
    BY_ROW: tl.constexpr, BIASED: tl.constexpr, RELU: tl.constexpr, TO_CODES: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    place = row.to(tl.int64)[:, None] * columns + column[None, :]
    value = tl.load(sums + place, mask=(row < rows)[:, None] & (column < columns)[None, :], other=0)
    _store(
        value, row, column, row_scale, column_scale, bias, left, right, next_scale, out, rows, columns, apart,
        BY_ROW, BIASED, RELU, TO_CODES,
    )  # fmt: skip


@triton.jit
def _multiply(
    codes, weight, row_scale, column_scale, bias, left, right, next_scale, out, rows, columns, apart, inputs,
    BY_ROW: tl.constexpr, BIASED: tl.constexpr, RELU: tl.constexpr, TO_CODES: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEEP: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    """One tile of codes weight' and what follows it; `inputs` is a multiple of DEEP."""
    across = tl.cdiv(columns, COLUMNS)
    first = tl.program_id(0) // (TOGETHER * across) * TOGETHER
    size = tl.minimum(tl.cdiv(rows, ROWS) - first, TOGETHER)
    within = tl.program_id(0) % (TOGETHER * across)
    row = (first + within % size) * ROWS + tl.arange(0, ROWS)
    column = within // size * COLUMNS + tl.arange(0, COLUMNS)
    deep = tl.arange(0, DEEP)
    a = codes + (row % rows).to(tl.int64)[:, None] * inputs + deep[None, :]  # rows beyond the last: any
    b = weight + (column % columns).to(tl.int64)[None, :] * inputs + deep[:, None]
    sums = tl.zeros((ROWS, COLUMNS), dtype=tl.int32)
    for _ in range(0, inputs, DEEP):
        sums = tl.dot(tl.load(a), tl.load(b), sums, out_dtype=tl.int32)
        a += DEEP
        b += DEEP
    _store(
        sums, row, column, row_scale, column_scale, bias, left, right, next_scale, out, rows, columns, apart,
        BY_ROW, BIASED, RELU, TO_CODES,
    )  # fmt: skip


def quantise_rows(x: torch.Tensor, kept: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """See int8.quantise_rows."""
    codes = torch.empty(x.shape, dtype=torch.int8, device=x.device)
    scales = torch.empty(len(x), device=x.device)
    unused = scales if kept is None else kept.float()
    _rows[(len(x),)](x, unused, scales, codes, scales, x.shape[1], kept is not None, False, STEP=2048)
    return codes, scales


def quantise_fixed(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """See int8.quantise_fixed."""
    codes = torch.empty(x.shape, dtype=torch.int8, device=x.device)
    _rows[(len(x),)](x, scale, scale, codes, scale, x.shape[1], False, True, STEP=2048)
    return codes


def norm_quantise(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """See int8.norm_quantise."""
    codes = torch.empty(x.shape, dtype=torch.int8, device=x.device)
    block = triton.next_power_of_2(x.shape[1])
    _norm[(len(x),)](x, weight, bias, scale, codes, x.shape[1], BLOCK=block, num_warps=8)
    return codes


def finish(sums: torch.Tensor, how: "Finish") -> torch.Tensor:
    """See int8.finish."""
    out, *given = _given(sums, *sums.shape, how)
    grid = (triton.cdiv(sums.shape[1], TILE["COLUMNS"]), triton.cdiv(len(sums), TILE["ROWS"]))
    _finish[grid](sums, *given, *_flags(how), **TILE)
    return out


def multiply(codes: torch.Tensor, weight: torch.Tensor, how: "Finish", name: str) -> torch.Tensor:
    """See int8.multiply; by the tile of that name."""
    tile, rows, columns = PRODUCTS[name], len(codes), len(weight)
    out, *given = _given(codes, rows, columns, how)
    grid = (triton.cdiv(rows, tile["ROWS"]) * triton.cdiv(columns, tile["COLUMNS"]),)
    _multiply[grid](codes, weight, *given, codes.shape[1], *_flags(how), **tile, DEEP=DEEP, TOGETHER=TOGETHER)
    return out


def _given(like: torch.Tensor, rows: int, columns: int, how: "Finish") -> list[Any]:
    """The result's tensor, then the arguments of `_store` from `row_scale` on; what is missing is unused."""
    kind = how.kind if how.next_scale is None else torch.int8
    out, unused = torch.empty(rows, columns, dtype=kind, device=like.device), how.column_scale
    left, right = how.apart if how.apart is not None else (unused, unused)
    row_scale, bias, next_scale = (
        unused if part is None else part for part in (how.row_scale, how.bias, how.next_scale)
    )
    apart = 0 if how.apart is None else left.shape[1]
    vectors = (row_scale, how.column_scale, bias, left, right, next_scale)
    return [out, *vectors, out, rows, columns, apart]


def _flags(how: "Finish") -> tuple[bool, bool, bool, bool]:
    """BY_ROW, BIASED, RELU and TO_CODES."""
    return how.row_scale is not None, how.bias is not None, how.relu, how.next_scale is not None
