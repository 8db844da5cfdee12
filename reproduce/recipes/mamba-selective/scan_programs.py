# ruff: noqa: ANN001, ANN201, ANN202, RUF005 - Triton's arguments are pointers; it knows no (*a, b)
"""The Triton programs of the selective scan; x, dt, y are (rows, length, channels).

A warp walks a chunk of time for a block of channels, with all their states in registers.
"""

import triton
import triton.language as tl

SIZES = ["length", "channels", "chunk", "chunks", "per_group", "gate_stride"]


@triton.jit
def _softplus(x):
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _rates(a, row, channel, inside, channels, per_group, N: tl.constexpr):
    """A times log2 e, (BLOCK, N): decay is a power of two."""
    place = ((row // per_group) * channels + channel)[:, None] * N + tl.arange(0, N)[None, :]
    return tl.load(a + place, mask=inside[:, None], other=0.0).to(tl.float32) * 1.4426950408889634


@triton.jit(do_not_specialize=SIZES)
def ends(
    dt, value, mixing, a, bias, ends, sums, length, channels, chunk, per_group,
    N: tl.constexpr, BLOCK: tl.constexpr, UNROLL: tl.constexpr, BACKWARD: tl.constexpr, RAW: tl.constexpr,
):  # fmt: skip
    """The state a chunk leaves if it starts from none, or the gradient it sends back; and its sum of dt."""
    part, row = tl.program_id(1), tl.program_id(2).to(tl.int64)
    channel, n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside = channel < channels
    rate = _rates(a, row, channel, inside, channels, per_group, N)
    state = tl.zeros([BLOCK, N], tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    if RAW:
        shift = tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32)
    for first in range(0, chunk, UNROLL):
        steps, values, mixings = (), (), ()
        for u in tl.static_range(UNROLL):
            time = part * chunk + (chunk - 1 - first - u if BACKWARD else first + u)
            there = inside & (time < length)
            place = (row * length + time) * channels + channel
            step = tl.load(dt + place, mask=there, other=0.0).to(tl.float32)
            if RAW:
                step = tl.where(there, _softplus(step + shift), 0.0)
            steps = steps + (step,)
            values = values + (tl.load(value + place, mask=there, other=0.0).to(tl.float32),)
            place = (row * length + time) * N + n
            mixings = mixings + (tl.load(mixing + place, mask=time < length, other=0.0).to(tl.float32),)
        for u in tl.static_range(UNROLL):
            decay = tl.exp2(steps[u][:, None] * rate)
            if BACKWARD:
                state = decay * (state + values[u][:, None] * mixings[u][None, :])
            else:
                state = decay * state + (steps[u] * values[u])[:, None] * mixings[u][None, :]
            total += steps[u]
    place = (row * tl.num_programs(1) + part) * channels + channel
    tl.store(ends + place[:, None] * N + n[None, :], state, mask=inside[:, None])
    tl.store(sums + place, total, mask=inside)


@triton.jit(do_not_specialize=SIZES)
def join(
    a, ends, sums, chunks, channels, per_group,
    N: tl.constexpr, BLOCK: tl.constexpr, UNROLL: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """What chunks leave becomes, in its place, what enters each of them."""
    row = tl.program_id(1).to(tl.int64)
    channel, n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside = channel < channels
    rate = _rates(a, row, channel, inside, channels, per_group, N)
    state = tl.zeros([BLOCK, N], tl.float32)
    for first in range(0, chunks, UNROLL):
        added, decays = (), ()
        for u in tl.static_range(UNROLL):
            part = chunks - 1 - first - u if BACKWARD else first + u
            there = inside & (first + u < chunks)
            place = (row * chunks + part) * channels + channel
            wide = place[:, None] * N + n[None, :]
            added = added + (tl.load(ends + wide, mask=there[:, None], other=0.0),)
            decays = decays + (tl.load(sums + place, mask=there, other=0.0),)
        for u in tl.static_range(UNROLL):
            part = chunks - 1 - first - u if BACKWARD else first + u
            there = inside & (first + u < chunks)
            wide = ((row * chunks + part) * channels + channel)[:, None] * N + n[None, :]
            tl.store(ends + wide, state, mask=there[:, None])
            state = tl.exp2(decays[u][:, None] * rate) * state + added[u]


@triton.jit(do_not_specialize=SIZES)
def forward(
    dt, x, b, c, a, bias, skip, gate, gate_stride, starts, kept, y, length, channels, chunk, per_group,
    N: tl.constexpr, BLOCK: tl.constexpr, UNROLL: tl.constexpr, KEEP: tl.constexpr, RAW: tl.constexpr,
):  # fmt: skip
    """RAW: dt is still to be made of a projection and its bias, and y is skipped and gated."""
    part, row = tl.program_id(1), tl.program_id(2).to(tl.int64)
    channel, n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside = channel < channels
    rate = _rates(a, row, channel, inside, channels, per_group, N)
    place = (row * tl.num_programs(1) + part) * channels + channel
    state = tl.load(starts + place[:, None] * N + n[None, :], mask=inside[:, None], other=0.0)
    if RAW:
        shift = tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32)
        direct = tl.load(skip + channel, mask=inside, other=0.0).to(tl.float32)
    for first in range(0, chunk, UNROLL):
        steps, values, gates, enters, reads = (), (), (), (), ()
        for u in tl.static_range(UNROLL):
            time = part * chunk + first + u
            there = inside & (time < length)
            at = (row * length + time) * channels + channel
            step = tl.load(dt + at, mask=there, other=0.0).to(tl.float32)
            if RAW:
                step = tl.where(there, _softplus(step + shift), 0.0)
                beside = gate + (row * length + time) * gate_stride + channel
                gates = gates + (tl.load(beside, mask=there, other=0.0).to(tl.float32),)
            steps = steps + (step,)
            values = values + (tl.load(x + at, mask=there, other=0.0).to(tl.float32),)
            at = (row * length + time) * N + n
            enters = enters + (tl.load(b + at, mask=time < length, other=0.0).to(tl.float32),)
            reads = reads + (tl.load(c + at, mask=time < length, other=0.0).to(tl.float32),)
        if KEEP:
            block = (part * chunk + first) // UNROLL
            wide = ((row * ((length + UNROLL - 1) // UNROLL) + block) * channels + channel)[:, None] * N + n[
                None, :
            ]
            tl.store(kept + wide, state, mask=inside[:, None] & (block * UNROLL < length))
        for u in tl.static_range(UNROLL):
            time = part * chunk + first + u
            decay = tl.exp2(steps[u][:, None] * rate)
            state = decay * state + (steps[u] * values[u])[:, None] * enters[u][None, :]
            out = tl.sum(state * reads[u][None, :], 1)
            if RAW:
                out = (out + direct * values[u]) * gates[u] / (1.0 + tl.exp(-gates[u]))
            at = (row * length + time) * channels + channel
            tl.store(y + at, out.to(y.dtype.element_ty), mask=inside & (time < length))


@triton.jit(do_not_specialize=SIZES)
def backward(
    dt, x, b, c, a, arriving, kept, beyonds, of_x, of_dt, of_a, of_b, of_c,
    length, channels, chunk, per_group,
    N: tl.constexpr, BLOCK: tl.constexpr, UNROLL: tl.constexpr,
):  # fmt: skip
    """g[t] = C[t] arriving[t] + decay[t + 1] g[t + 1], the gradient of h[t], from the end to the start.

    UNROLL steps at a time, whose states are computed again from the kept one before them.
    """
    block, part, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    channel, n = block * BLOCK + tl.arange(0, BLOCK), tl.arange(0, N)
    inside = channel < channels
    rate = _rates(a, row, channel, inside, channels, per_group, N)
    place = ((row * tl.num_programs(1) + part) * channels + channel)[:, None] * N + n[None, :]
    beyond = tl.load(beyonds + place, mask=inside[:, None], other=0.0)
    of_rate = tl.zeros([BLOCK, N], tl.float32)
    share = block * tl.num_programs(2).to(tl.int64) * length * N  # this block's of the sums over channels
    for back in range(0, chunk, UNROLL):
        first = part * chunk + chunk - UNROLL - back
        wide = (row * ((length + UNROLL - 1) // UNROLL) + first // UNROLL) * channels + channel
        state = tl.load(
            kept + wide[:, None] * N + n[None, :], mask=inside[:, None] & (first < length), other=0.0
        )
        steps, values, pulls, enters, reads = (), (), (), (), ()
        for u in tl.static_range(UNROLL):
            there = inside & (first + u < length)
            at = (row * length + first + u) * channels + channel
            steps = steps + (tl.load(dt + at, mask=there, other=0.0).to(tl.float32),)
            values = values + (tl.load(x + at, mask=there, other=0.0).to(tl.float32),)
            pulls = pulls + (tl.load(arriving + at, mask=there, other=0.0).to(tl.float32),)
            at = (row * length + first + u) * N + n
            enters = enters + (tl.load(b + at, mask=first + u < length, other=0.0).to(tl.float32),)
            reads = reads + (tl.load(c + at, mask=first + u < length, other=0.0).to(tl.float32),)
        decays, lefts = (), ()
        for u in tl.static_range(UNROLL):
            decay = tl.exp2(steps[u][:, None] * rate)
            left = decay * state
            decays, lefts = decays + (decay,), lefts + (left,)
            state = left + (steps[u] * values[u])[:, None] * enters[u][None, :]
        for u in tl.static_range(UNROLL - 1, -1, -1):
            there = inside & (first + u < length)
            added = steps[u] * values[u]
            gradient = beyond + pulls[u][:, None] * reads[u][None, :]
            after = lefts[u] + added[:, None] * enters[u][None, :]
            at = share + (row * length + first + u) * N + n
            tl.store(of_b + at, tl.sum(gradient * added[:, None], 0), mask=first + u < length)
            tl.store(of_c + at, tl.sum(after * pulls[u][:, None], 0), mask=first + u < length)
            spread = tl.sum(gradient * enters[u][None, :], 1)
            through = gradient * lefts[u]
            of_rate += through * steps[u][:, None]
            of_step = spread * values[u] + tl.sum(through * rate, 1) * 0.6931471805599453
            at = (row * length + first + u) * channels + channel
            tl.store(of_x + at, (spread * steps[u]).to(of_x.dtype.element_ty), mask=there)
            tl.store(of_dt + at, of_step.to(of_dt.dtype.element_ty), mask=there)
            beyond = decays[u] * gradient
    tl.store(of_a + place, of_rate, mask=inside[:, None])
