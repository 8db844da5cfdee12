"""The selective scan as two Triton kernels: a program walks one channel of one row in chunks of time.

Within a chunk all states are found by an associative scan and never leave the chip. Shapes as in scan.py.
"""

import torch
import triton
import triton.language as tl

CHUNK = 64
WARPS = {"forward": 4, "backward": 4}


def forward(
    x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, keep: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """y, and the states at the chunks' starts (batch, channels, chunks, states) if they are to be kept."""
    rows, channels, length = x.shape
    chunks, size = triton.cdiv(length, CHUNK), a.shape[-1]
    y = torch.empty_like(x)
    states = torch.empty(rows, channels, chunks if keep else 0, size, device=x.device)
    _forward[(channels, rows)](
        *(x, dt, a, b, c, y, states, length, chunks, rows // a.shape[0]),
        **{"N": size, "T": CHUNK, "KEEP": keep, "num_warps": WARPS["forward"]},
    )
    return y, states


def backward(
    x: torch.Tensor,
    dt: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    c: torch.Tensor,
    arriving: torch.Tensor,
    states: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Gradients of x, dt, A, B and C; those of A, B and C are sums over rows or channels, by atomic adds."""
    rows, channels, length = x.shape
    of_x, of_dt = torch.empty_like(x), torch.empty_like(dt)
    of_a, of_b, of_c = (torch.zeros_like(given, dtype=torch.float32) for given in (a, b, c))
    _backward[(channels, rows)](
        *(x, dt, a, b, c, arriving, states, of_x, of_dt, of_a, of_b, of_c),
        *(length, states.shape[2], rows // a.shape[0]),
        **{"N": a.shape[-1], "T": CHUNK, "num_warps": WARPS["backward"]},
    )
    return of_x, of_dt, of_a.to(a.dtype), of_b.to(b.dtype), of_c.to(c.dtype)


@triton.jit
def _compose(decay, added, later_decay, later_added):  # noqa: ANN001, ANN202 - Triton reads annotations
    return decay * later_decay, later_decay * added + later_added


@triton.jit(do_not_specialize=["length", "chunks", "per_group"])
def _forward(  # noqa: ANN202
    x, dt, a, b, c, y, states, length, chunks, per_group,  # noqa: ANN001
    N: tl.constexpr, T: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    channel, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channels = tl.num_programs(0)
    n, t = tl.arange(0, N), tl.arange(0, T)
    rate = tl.load(a + ((row // per_group) * channels + channel) * N + n).to(tl.float32)
    line = (row * channels + channel) * length
    kept = states + (row * channels + channel) * chunks * N + n
    state = tl.zeros([N], tl.float32)
    for chunk in range(0, chunks):
        time = chunk * T + t
        there = time < length
        step = tl.load(dt + line + time, mask=there, other=0.0).to(tl.float32)
        value = tl.load(x + line + time, mask=there, other=0.0).to(tl.float32)
        where = (row * length + time)[:, None] * N + n[None, :]
        enter = tl.load(b + where, mask=there[:, None], other=0.0).to(tl.float32)
        read = tl.load(c + where, mask=there[:, None], other=0.0).to(tl.float32)
        if KEEP:
            tl.store(kept + chunk * N, state)
        decay = tl.exp(step[:, None] * rate[None, :])
        added = (step * value)[:, None] * enter
        through, inside = tl.associative_scan((decay, added), 0, _compose)
        h = through * state[None, :] + inside
        tl.store(y + line + time, tl.sum(h * read, 1).to(y.dtype.element_ty), mask=there)
        state = tl.sum(tl.where(t[:, None] == T - 1, h, 0.0), 0)


@triton.jit(do_not_specialize=["length", "chunks", "per_group"])
def _backward(  # noqa: ANN202
    x, dt, a, b, c, arriving, states, of_x, of_dt, of_a, of_b, of_c,  # noqa: ANN001
    length, chunks, per_group,  # noqa: ANN001
    N: tl.constexpr, T: tl.constexpr,
):  # fmt: skip
    """g[t] = C[t] arriving[t] + decay[t + 1] g[t + 1], the gradient of h[t], from the end to the start."""
    channel, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    channels = tl.num_programs(0)
    n, t = tl.arange(0, N), tl.arange(0, T)
    rates = ((row // per_group) * channels + channel) * N + n
    rate = tl.load(a + rates).to(tl.float32)
    line = (row * channels + channel) * length
    kept = states + (row * channels + channel) * chunks * N + n
    beyond = tl.zeros([N], tl.float32)
    of_rate = tl.zeros([N], tl.float32)
    for back in range(0, chunks):
        chunk = chunks - 1 - back
        time = chunk * T + t
        there = time < length
        step = tl.load(dt + line + time, mask=there, other=0.0).to(tl.float32)
        next_step = tl.load(dt + line + time + 1, mask=time + 1 < length, other=0.0).to(tl.float32)
        value = tl.load(x + line + time, mask=there, other=0.0).to(tl.float32)
        pull = tl.load(arriving + line + time, mask=there, other=0.0).to(tl.float32)
        where = (row * length + time)[:, None] * N + n[None, :]
        enter = tl.load(b + where, mask=there[:, None], other=0.0).to(tl.float32)
        read = tl.load(c + where, mask=there[:, None], other=0.0).to(tl.float32)
        start = tl.load(kept + chunk * N)
        added = (step * value)[:, None] * enter
        decay = tl.exp(step[:, None] * rate[None, :])
        through, inside = tl.associative_scan((decay, added), 0, _compose)
        h = through * start[None, :] + inside
        left = h - added  # decay[t] h[t - 1]
        next_decay = tl.exp(next_step[:, None] * rate[None, :])
        pulled = pull[:, None] * read
        through, inside = tl.associative_scan((next_decay, pulled), 0, _compose, reverse=True)
        g = through * beyond[None, :] + inside
        spread = tl.sum(g * enter, 1)
        tl.store(of_x + line + time, (spread * step).to(of_x.dtype.element_ty), mask=there)
        of_step = spread * value + tl.sum(g * left * rate[None, :], 1)
        tl.store(of_dt + line + time, of_step.to(of_dt.dtype.element_ty), mask=there)
        of_rate += tl.sum(g * left * step[:, None], 0)
        tl.atomic_add(of_b + where, g * (step * value)[:, None], mask=there[:, None])
        tl.atomic_add(of_c + where, h * pull[:, None], mask=there[:, None])
        beyond = tl.sum(tl.where(t[:, None] == 0, g, 0.0), 0)
    tl.atomic_add(of_a + rates, of_rate)
