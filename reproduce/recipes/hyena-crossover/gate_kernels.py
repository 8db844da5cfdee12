# ruff: noqa: ANN001, ANN202 - Triton's arguments are pointers and constants
"""The Triton kernels of gates.py: a program turns a tile of times and channels around."""

import torch
import triton
import triton.language as tl

TIMES, CHANNELS = 64, 32
TILE = {"T": TIMES, "C": CHANNELS, "num_warps": 4}


def _grid(batch: int, length: int, width: int) -> tuple[int, int, int]:
    return triton.cdiv(length, TIMES), triton.cdiv(width, CHANNELS), batch


def enter(u: torch.Tensor, short: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """See gates.enter; both given are contiguous."""
    batch, length, width = u.shape[0], u.shape[1], u.shape[2] // 3
    gate = u.new_empty(batch, width, length)
    padded = u.new_empty(batch, width, 2 * length, dtype=torch.float32)
    _enter[_grid(batch, length, width)](u, short, gate, padded, length, width, **TILE)
    return gate, padded


def enter_back(
    u: torch.Tensor, short: torch.Tensor, of_gate: torch.Tensor, of_padded: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of u and of the short kernels, the latter summed over tiles afterwards."""
    batch, length, width = u.shape[0], u.shape[1], u.shape[2] // 3
    reaching, of_u = torch.empty_like(u), torch.empty_like(u)
    _enter_back[_grid(batch, length, width)](u, short, of_gate, of_padded, reaching, length, width, **TILE)
    grid = _grid(batch, length, 3 * width)
    of_short = u.new_empty(batch, grid[0], *short.shape, dtype=torch.float32)
    _short_back[grid](u, short, reaching, of_u, of_short, length, 3 * width, **TILE)
    return of_u, of_short.sum((0, 1)).to(short.dtype)


def leave(mixed: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """See gates.leave."""
    batch, width, length = gate.shape
    out = gate.new_empty(batch, length, width)
    _leave[_grid(batch, length, width)](mixed, gate, out, length, width, *mixed.stride()[:2], **TILE)
    return out


def leave_back(
    mixed: torch.Tensor, gate: torch.Tensor, arriving: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients of mixed and gate."""
    batch, width, length = gate.shape
    of_mixed = gate.new_empty(gate.shape, dtype=mixed.dtype)
    of_gate = torch.empty_like(gate)
    _leave_back[_grid(batch, length, width)](
        mixed, gate, arriving, of_mixed, of_gate, length, width, *mixed.stride()[:2], **TILE
    )
    return of_mixed, of_gate


@triton.jit
def _rows(x, time, channel, length, width):
    """(T, C) of a sequence of tokens with `width` channels each, zero outside."""
    there = ((time >= 0) & (time < length))[:, None] & (channel < width)[None, :]
    return tl.load(x + time[:, None] * width + channel[None, :], mask=there, other=0.0).to(tl.float32)


@triton.jit
def _at(u, time, channel, length, width):
    """The same of one of three parts of `width` channels."""
    there = ((time >= 0) & (time < length))[:, None] & (channel < width)[None, :]
    return tl.load(u + time[:, None] * 3 * width + channel[None, :], mask=there, other=0.0).to(tl.float32)


@triton.jit
def _tap(short, tap, channel, width):
    return tl.load(short + tap * 3 * width + channel, mask=channel < width, other=0.0).to(tl.float32)[None, :]


@triton.jit
def _turned(x, time, channel, length, width, stride):
    """(T, C) of channels in rows, zero outside."""
    there = (channel < width)[:, None] & (time < length)[None, :]
    place = channel.to(tl.int64)[:, None] * stride + time[None, :]
    return tl.trans(tl.load(x + place, mask=there, other=0.0).to(tl.float32))


@triton.jit
def _short(u, short, time, channel, length, width):
    """The short convolution of one of the three parts, that starts at `u` and `short`."""
    total = _at(u, time - 2, channel, length, width) * _tap(short, 0, channel, width)
    total += _at(u, time - 1, channel, length, width) * _tap(short, 1, channel, width)
    return total + _at(u, time, channel, length, width) * _tap(short, 2, channel, width)


@triton.jit
def _enter(u, short, gate, padded, length, width, T: tl.constexpr, C: tl.constexpr):
    time, channel = tl.program_id(0) * T + tl.arange(0, T), tl.program_id(1) * C + tl.arange(0, C)
    row = tl.program_id(2).to(tl.int64)
    u += row * length * 3 * width
    first = _short(u, short, time, channel, length, width)
    other = _short(u + width, short + width, time, channel, length, width)
    value = _short(u + 2 * width, short + 2 * width, time, channel, length, width)
    there = (channel < width)[:, None] & (time < length)[None, :]
    line = (row * width + channel)[:, None] * length
    tl.store(gate + line + time[None, :], tl.trans(first).to(gate.dtype.element_ty), mask=there)
    tl.store(padded + 2 * line + time[None, :], tl.trans(other * value), mask=there)
    tl.store(padded + 2 * line + length + time[None, :], tl.zeros([C, T], tl.float32), mask=there)


@triton.jit
def _enter_back(u, short, of_gate, of_padded, reaching, length, width, T: tl.constexpr, C: tl.constexpr):
    """What reaches the short convolutions' results; a factor of the product by way of the other."""
    time, channel = tl.program_id(0) * T + tl.arange(0, T), tl.program_id(1) * C + tl.arange(0, C)
    row = tl.program_id(2).to(tl.int64)
    u += row * length * 3 * width
    first = _turned(of_gate + row * width * length, time, channel, length, width, length)
    product = _turned(of_padded + 2 * row * width * length, time, channel, length, width, 2 * length)
    other = product * _short(u + 2 * width, short + 2 * width, time, channel, length, width)
    value = product * _short(u + width, short + width, time, channel, length, width)
    there = (time < length)[:, None] & (channel < width)[None, :]
    place = reaching + (row * length + time)[:, None] * 3 * width + channel[None, :]
    tl.store(place, first.to(reaching.dtype.element_ty), mask=there)
    tl.store(place + width, other.to(reaching.dtype.element_ty), mask=there)
    tl.store(place + 2 * width, value.to(reaching.dtype.element_ty), mask=there)


@triton.jit
def _short_back(u, short, reaching, of_u, of_short, length, width, T: tl.constexpr, C: tl.constexpr):
    """What reaches a short convolution's result at t, reaches its input at t, t - 1 and t - 2.

    A program has channels of one of the three parts: `width` is that of all.
    """
    time, channel = tl.program_id(0) * T + tl.arange(0, T), tl.program_id(1) * C + tl.arange(0, C)
    row = tl.program_id(2).to(tl.int64)
    inside = channel < width
    u += row * length * width
    reaching += row * length * width
    at_two = _rows(reaching, time + 2, channel, length, width)
    at_one = _rows(reaching, time + 1, channel, length, width)
    at_now = _rows(reaching, time, channel, length, width)
    first = tl.load(short + channel, mask=inside, other=0.0).to(tl.float32)[None, :]
    second = tl.load(short + width + channel, mask=inside, other=0.0).to(tl.float32)[None, :]
    third = tl.load(short + 2 * width + channel, mask=inside, other=0.0).to(tl.float32)[None, :]
    own = _rows(u, time, channel, length, width)
    place = of_u + row * length * width + time[:, None] * width + channel[None, :]
    there = (time < length)[:, None] & inside[None, :]
    total = at_two * first + at_one * second + at_now * third
    tl.store(place, total.to(of_u.dtype.element_ty), mask=there)
    place = of_short + (row * tl.num_programs(0) + tl.program_id(0)) * 3 * width + channel
    tl.store(place, tl.sum(at_two * own, 0), mask=inside)
    tl.store(place + width, tl.sum(at_one * own, 0), mask=inside)
    tl.store(place + 2 * width, tl.sum(at_now * own, 0), mask=inside)


@triton.jit
def _leave(
    mixed, gate, out, length, width, row_stride, channel_stride, T: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    time, channel = tl.program_id(0) * T + tl.arange(0, T), tl.program_id(1) * C + tl.arange(0, C)
    row = tl.program_id(2).to(tl.int64)
    x = _turned(mixed + row * row_stride, time, channel, length, width, channel_stride)
    x *= _turned(gate + row * width * length, time, channel, length, width, length)
    there = (time < length)[:, None] & (channel < width)[None, :]
    place = (row * length + time)[:, None] * width + channel[None, :]
    tl.store(out + place, x.to(out.dtype.element_ty), mask=there)


@triton.jit
def _leave_back(
    mixed, gate, arriving, of_mixed, of_gate, length, width, row_stride, channel_stride,
    T: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    time, channel = tl.program_id(0) * T + tl.arange(0, T), tl.program_id(1) * C + tl.arange(0, C)
    row = tl.program_id(2).to(tl.int64)
    there = (time < length)[:, None] & (channel < width)[None, :]
    place = (row * length + time)[:, None] * width + channel[None, :]
    pull = tl.trans(tl.load(arriving + place, mask=there, other=0.0).to(tl.float32))
    there = (channel < width)[:, None] & (time < length)[None, :]
    line = (row * width + channel)[:, None] * length + time[None, :]
    own = row * row_stride + channel.to(tl.int64)[:, None] * channel_stride + time[None, :]
    x = tl.load(mixed + own, mask=there, other=0.0).to(tl.float32)
    factor = tl.load(gate + line, mask=there, other=0.0).to(tl.float32)
    tl.store(of_mixed + line, (pull * factor).to(of_mixed.dtype.element_ty), mask=there)
    tl.store(of_gate + line, (pull * x).to(of_gate.dtype.element_ty), mask=there)
