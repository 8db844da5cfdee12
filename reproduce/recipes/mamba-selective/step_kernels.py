# ruff: noqa: ANN001, ANN202 - Triton's arguments are pointers and constants
"""What lies between the products of a Mamba block that generates, as Triton kernels; see generator.py."""

import torch
import triton
import triton.language as tl

TOGETHER = 4  # sequences of a program, which share the rates


def convolve(past: torch.Tensor, value: torch.Tensor, taps: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """See generator.convolve; `value` may be a slice of wider rows."""
    batch, inner = value.shape
    out = torch.empty(batch, inner, dtype=value.dtype, device=value.device)
    _convolve[(triton.cdiv(inner, 1024), batch)](
        past, value, taps, bias, out, batch, inner, value.stride(0), TAPS=len(taps), BLOCK=1024, num_warps=4
    )
    return out


def short(value: torch.Tensor, taps: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """See generator.short; `value` may be a slice of wider rows."""
    batch, length, inner = value.shape
    out = torch.empty(batch, length, inner, dtype=value.dtype, device=value.device)
    _short[(triton.cdiv(inner, 256), triton.cdiv(length, 16), batch)](
        value,
        taps,
        bias,
        out,
        length,
        inner,
        value.stride(1),
        TAPS=len(taps),
        TIME=16,
        BLOCK=256,
        num_warps=4,
    )
    return out


def advance(
    state: torch.Tensor,
    value: torch.Tensor,
    step: torch.Tensor,
    bias: torch.Tensor,
    rate: torch.Tensor,
    enter: torch.Tensor,
    read: torch.Tensor,
    skip: torch.Tensor,
    gate: torch.Tensor,
) -> torch.Tensor:
    """See generator.advance; `enter`, `read` and `gate` may be slices of wider rows."""
    batch, inner, states = state.shape
    out = torch.empty_like(value)
    _advance[(triton.cdiv(inner, 64), triton.cdiv(batch, TOGETHER))](
        state, value, step, bias, rate, enter, read, skip, gate, out,
        batch, inner, enter.stride(0), read.stride(0), gate.stride(0),
        N=states, BLOCK=64, TOGETHER=TOGETHER, num_warps=4,
    )  # fmt: skip
    return out


@triton.jit
def _silu(x):
    return x / (1.0 + tl.exp(-x))


@triton.jit
def _convolve(
    past, value, taps, bias, out, batch, inner, stride, TAPS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    row = tl.program_id(1).to(tl.int64)
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < inner
    new = tl.load(value + row * stride + channel, mask=inside)
    total = tl.load(bias + channel, mask=inside).to(tl.float32)
    total += new.to(tl.float32) * tl.load(taps + (TAPS - 1) * inner + channel, mask=inside).to(tl.float32)
    for tap in tl.static_range(TAPS - 1):
        old = tl.load(past + (tap * batch + row) * inner + channel, mask=inside)
        total += old.to(tl.float32) * tl.load(taps + tap * inner + channel, mask=inside).to(tl.float32)
        if tap > 0:
            tl.store(past + ((tap - 1) * batch + row) * inner + channel, old, mask=inside)
    tl.store(past + ((TAPS - 2) * batch + row) * inner + channel, new, mask=inside)
    tl.store(out + row * inner + channel, _silu(total).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _short(
    value, taps, bias, out, length, inner, stride,
    TAPS: tl.constexpr, TIME: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(2).to(tl.int64)
    channel = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))[None, :]
    time = (tl.program_id(1) * TIME + tl.arange(0, TIME))[:, None]
    inside = channel < inner
    total = tl.zeros([TIME, BLOCK], tl.float32) + tl.load(bias + channel, mask=inside).to(tl.float32)
    for tap in tl.static_range(TAPS):
        then = time + (tap - TAPS + 1)
        there = inside & (then >= 0) & (then < length)
        x = tl.load(value + (row * length + then) * stride + channel, mask=there, other=0.0).to(tl.float32)
        total += x * tl.load(taps + tap * inner + channel, mask=inside).to(tl.float32)
    place = (row * length + time) * inner + channel
    tl.store(out + place, _silu(total).to(out.dtype.element_ty), mask=inside & (time < length))


@triton.jit
def _advance(
    state, value, step, bias, rate, enter, read, skip, gate, out,
    batch, inner, enter_stride, read_stride, gate_stride,
    N: tl.constexpr, BLOCK: tl.constexpr, TOGETHER: tl.constexpr,
):  # fmt: skip
    channel, n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside = channel < inner
    wide = channel[:, None] * N + n[None, :]
    rates = tl.load(rate + wide, mask=inside[:, None], other=0.0) * 1.4426950408889634
    shift = tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32)
    direct = tl.load(skip + channel, mask=inside, other=0.0)
    for one in tl.static_range(TOGETHER):
        row = (tl.program_id(1) * TOGETHER + one).to(tl.int64)
        there = inside & (row < batch)
        place = row * inner * N + wide
        old = tl.load(state + place, mask=there[:, None], other=0.0)
        x = tl.load(value + row * inner + channel, mask=there, other=0.0).to(tl.float32)
        dt = tl.load(step + row * inner + channel, mask=there, other=0.0).to(tl.float32) + shift
        dt = tl.maximum(dt, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(dt)))
        entering = tl.load(enter + row * enter_stride + n, mask=row < batch, other=0.0).to(tl.float32)
        reading = tl.load(read + row * read_stride + n, mask=row < batch, other=0.0).to(tl.float32)
        beside = tl.load(gate + row * gate_stride + channel, mask=there, other=0.0).to(tl.float32)
        new = tl.exp2(dt[:, None] * rates) * old + (dt * x)[:, None] * entering[None, :]
        tl.store(state + place, new, mask=there[:, None])
        left = (tl.sum(new * reading[None, :], 1) + direct * x) * _silu(beside)
        tl.store(out + row * inner + channel, left.to(out.dtype.element_ty), mask=there)
