"""One Adam update with eight-bit moments in one pass over memory: a program for each block. Needs Triton."""

# ruff: noqa: ANN001, ANN202 - Triton reads annotations of its own
import torch
import triton
import triton.language as tl

from reproduce.recipes.blocks.eight_bit import DECADES, Quantised, table

LIMITS = tl.constexpr(DECADES - 1)


@triton.jit
def _encode(x, limits, factors, smallest, top, SIGNED: tl.constexpr):
    """Codes of values within -1 and 1, as eight_bit.encode makes them."""
    size = tl.abs(x)
    parts = tl.full(x.shape, 1 if SIGNED else 2, tl.int32)
    factor = tl.zeros(x.shape, tl.float32) + tl.load(factors)
    for decade in tl.static_range(LIMITS):
        above = size > tl.load(limits + decade)
        parts = tl.where(above, parts * 2, parts)
        factor = tl.where(above, tl.load(factors + decade + 1), factor)
    within = (size * factor - 0.1) / 0.9 * parts.to(tl.float32)
    index = parts - (0 if SIGNED else 1) + tl.minimum(tl.maximum(within, 0.0).to(tl.int32), parts - 1)
    index = tl.where(size < smallest, 0, index)
    if SIGNED:
        index = tl.where(x < 0, 127 - index, 127 + index)
    return tl.where(x > top, 255, index).to(tl.uint8)


@triton.jit
def _update(
    weight,
    gradient,
    codes_m,
    largest_m,
    table_m,
    codes_v,
    largest_v,
    table_v,
    limits,
    factors,
    rate,
    first,
    second,
    eps,
    correct_m,
    correct_v,
    smallest_m,
    top_m,
    smallest_v,
    top_v,
    count,
    BLOCK: tl.constexpr,
):
    block = tl.program_id(0).to(tl.int64)
    at = block * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    g = tl.load(gradient + at, mask=inside, other=0.0)
    w = tl.load(weight + at, mask=inside, other=0.0)
    m = tl.load(table_m + tl.load(codes_m + at).to(tl.int32)) * tl.load(largest_m + block)
    v = tl.load(table_v + tl.load(codes_v + at).to(tl.int32)) * tl.load(largest_v + block)
    m = first * m + (1 - first) * g
    v = second * v + (1 - second) * g * g
    w -= rate * (m * correct_m) / (tl.sqrt(v * correct_v) + eps)
    tl.store(weight + at, w, mask=inside)
    most_m, most_v = tl.max(tl.abs(m), axis=0), tl.max(v, axis=0)
    tl.store(largest_m + block, most_m)
    tl.store(largest_v + block, most_v)
    m = m / tl.maximum(most_m, 1.1754944e-38)
    v = v / tl.maximum(most_v, 1.1754944e-38)
    tl.store(codes_m + at, _encode(m, limits, factors, smallest_m, top_m, True))
    tl.store(codes_v + at, _encode(v, limits, factors, smallest_v, top_v, False))


class FusedAdam8bit:
    """Adam without weight decay on one flat fp32 tensor."""

    def __init__(self, weight: torch.Tensor, moments: tuple[Quantised, Quantised]) -> None:
        self.weight, self.moments, self.steps = weight, moments, 0
        limits = 10.0 ** torch.arange(1 - DECADES, 0, dtype=torch.float64)
        factors = 10.0 ** torch.arange(DECADES - 1, -1, -1, dtype=torch.float64)
        self.scales = [values.float().to(weight.device) for values in (limits, factors)]
        self.tables = [table("dynamic", signed, weight.device) for signed in (True, False)]
        ends = [
            (values[middle + 1].item() / 2, (1 + values[254].item()) / 2)
            for values, middle in zip(self.tables, (127, 0), strict=True)
        ]
        self.ends = [end for pair in ends for end in pair]

    def step(
        self, gradient: torch.Tensor, rate: float, betas: tuple[float, float], eps: float = 1e-8
    ) -> None:
        """Updates the weight in place."""
        self.steps += 1
        m, v = self.moments
        corrections = [1 / (1 - beta**self.steps) for beta in betas]
        _update[(len(m.codes),)](
            self.weight,
            gradient,
            m.codes,
            m.largest,
            self.tables[0],
            v.codes,
            v.largest,
            self.tables[1],
            *self.scales,
            rate,
            *betas,
            eps,
            *corrections,
            *self.ends,
            self.weight.numel(),
            BLOCK=m.codes.shape[1],
            num_warps=8,
        )
