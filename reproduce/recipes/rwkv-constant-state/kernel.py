"""The functions of operations.py as one Triton kernel each, since small kernels add up at one token."""

import torch

from .wkv import State

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU has no need of it
    triton = None

AVAILABLE = triton is not None and torch.cuda.is_available()
BLOCK = 512


def mix(x: torch.Tensor, before: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """As operations.mix."""
    (batch, width), rows = x.shape, len(shares)
    out = torch.empty((rows, batch, width), dtype=x.dtype, device=x.device)
    _mix[(batch,)](x, before, shares, out, batch, WIDTH=width, SIZE=triton.next_power_of_2(width), ROWS=rows)
    return out


def attend(
    state: State, r: torch.Tensor, k: torch.Tensor, v: torch.Tensor, w: torch.Tensor, u: torch.Tensor
) -> torch.Tensor:
    """As operations.attend."""
    out, count = torch.empty_like(r), r.numel()
    _attend[(triton.cdiv(count, BLOCK),)](*state, r, k, v, w, u, out, count, r.shape[1], SIZE=BLOCK)
    return out


def squared(x: torch.Tensor) -> torch.Tensor:
    """As operations.squared."""
    out = torch.empty_like(x)
    _squared[(triton.cdiv(x.numel(), BLOCK),)](x, out, x.numel(), SIZE=BLOCK)
    return out


def add_gated(x: torch.Tensor, r: torch.Tensor, value: torch.Tensor) -> None:
    """As operations.add_gated."""
    _add_gated[(triton.cdiv(x.numel(), BLOCK),)](x, r, value, x.numel(), SIZE=BLOCK)


if triton is not None:

    @triton.jit
    def _mix(  # noqa: ANN202 - Triton reads the annotations itself
        x, before, shares, out, batch,  # noqa: ANN001
        WIDTH: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr,
    ):  # fmt: skip
        row, at = tl.program_id(0), tl.arange(0, SIZE)
        there = at < WIDTH
        value = tl.load(x + row * WIDTH + at, mask=there, other=0.0).to(tl.float32)
        away = tl.where(there, value - tl.sum(value, 0) / WIDTH, 0.0)
        now = away * tl.rsqrt(tl.sum(away * away, 0) / WIDTH + 1e-5)
        old = tl.load(before + row * WIDTH + at, mask=there, other=0.0).to(tl.float32)
        for number in tl.static_range(ROWS):
            share = tl.load(shares + number * WIDTH + at, mask=there, other=0.0).to(tl.float32)
            mixed = old + share * (now - old)
            tl.store(out + (number * batch + row) * WIDTH + at, mixed.to(out.dtype.element_ty), mask=there)
        tl.store(before + row * WIDTH + at, now.to(before.dtype.element_ty), mask=there)

    @triton.jit
    def _attend(top, bottom, peak, r, k, v, w, u, out, count, width, SIZE: tl.constexpr):  # noqa: ANN001, ANN202
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        there, channel = at < count, at % width
        above = tl.load(top + at, mask=there, other=0.0)
        below = tl.load(bottom + at, mask=there, other=0.0)
        scale = tl.load(peak + at, mask=there, other=0.0)
        key = tl.load(k + at, mask=there, other=0.0).to(tl.float32)
        value = tl.load(v + at, mask=there, other=0.0).to(tl.float32)
        gate = tl.sigmoid(tl.load(r + at, mask=there, other=0.0).to(tl.float32))
        bonus = key + tl.load(u + channel, mask=there, other=0.0)
        higher = tl.maximum(scale, bonus)
        old, own = tl.exp(scale - higher), tl.exp(bonus - higher)
        result = gate * (old * above + own * value) / (old * below + own)
        tl.store(out + at, result.to(out.dtype.element_ty), mask=there)
        decayed = scale - tl.load(w + channel, mask=there, other=0.0)
        higher = tl.maximum(decayed, key)
        old, own = tl.exp(decayed - higher), tl.exp(key - higher)
        tl.store(top + at, old * above + own * value, mask=there)
        tl.store(bottom + at, old * below + own, mask=there)
        tl.store(peak + at, higher, mask=there)

    @triton.jit
    def _squared(x, out, count, SIZE: tl.constexpr):  # noqa: ANN001, ANN202
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        value = tl.maximum(tl.load(x + at, mask=at < count, other=0.0).to(tl.float32), 0.0)
        tl.store(out + at, (value * value).to(out.dtype.element_ty), mask=at < count)

    @triton.jit
    def _add_gated(x, r, value, count, SIZE: tl.constexpr):  # noqa: ANN001, ANN202
        at = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        there = at < count
        gate = tl.sigmoid(tl.load(r + at, mask=there, other=0.0).to(tl.float32))
        added = gate * tl.load(value + at, mask=there, other=0.0).to(tl.float32)
        total = tl.load(x + at, mask=there, other=0.0).to(tl.float32) + added
        tl.store(x + at, total.to(x.dtype.element_ty), mask=there)
