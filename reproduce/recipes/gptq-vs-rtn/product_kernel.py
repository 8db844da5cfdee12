# ruff: noqa: ANN001, ANN202 - Triton's arguments are pointers and constants
"""The kernel of product.py: a warp holds four words of some groups of several rows, and reads x once for all.

A code is cut out of its word by one instruction, as a float between 1 and 2, and multiplied by the next.
"""

from functools import partial

import torch
import triton
import triton.language as tl
import triton.testing

from reproduce.recipes.blocks.gemv import Packed4

ONE = 0x3F800000  # the bits of 1.0


def launch(weight: Packed4, x: torch.Tensor) -> torch.Tensor:
    """See product.matvec4."""
    outputs, groups = weight.scale.shape
    out = torch.empty(outputs, dtype=x.dtype, device=x.device)
    _dot[lambda meta: (triton.cdiv(outputs, meta["ROWS"]),)](
        weight.words, weight.scale, weight.offset, x, out, outputs, groups, ONE
    )
    return out


@triton.jit
def _cut(words, one, NIBBLE: tl.constexpr):
    """1 + code / u: the code's bits in the mantissa of 1.0; u is 2^12, 2^8 or 2^4."""
    if NIBBLE < 2:
        words = words << 11
    elif NIBBLE < 5:
        words = words << 3
    else:
        words = words >> 9
    MASK: tl.constexpr = 15 << (11 + (NIBBLE + 1) % 3 * 4 if NIBBLE >= 2 else 11 + NIBBLE * 4)
    return ((words & MASK) | one).to(tl.float32, bitcast=True)


@triton.autotune(
    configs=[
        triton.Config({"ROWS": rows, "STEP": 8 * warps, "STAGES": stages}, num_warps=warps)
        for rows, warps, stages in ((8, 1, 3), (4, 2, 3), (4, 4, 1))
    ],
    key=["outputs", "groups"],
    do_bench=partial(triton.testing.do_bench, warmup=5, rep=20),  # milliseconds: there are many shapes
)
@triton.jit(do_not_specialize=["one"])
def _dot(
    words, scale, offset, x, out, outputs, groups, one,
    ROWS: tl.constexpr, STEP: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """`one` is no constant, so that a mask and it make one instruction.

    Sums of 1 + code / u are freed of the ones in each group, where they are small.
    """
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = rows < outputs
    word = tl.arange(0, 16)[None, None, :]
    total = tl.zeros((STEP, ROWS, 16), dtype=tl.float32)
    for first in tl.range(0, groups, STEP, num_stages=STAGES):
        group = first + tl.arange(0, STEP)
        inside = (group < groups)[:, None, None]
        place = rows[None, :] * groups + group[:, None]
        known = there[None, :] & (group < groups)[:, None]
        packed = tl.load(words + place[:, :, None] * 16 + word, mask=known[:, :, None], other=0)
        step = tl.load(scale + place, mask=known, other=0.0).to(tl.float32)
        base = tl.load(offset + place, mask=known, other=0.0).to(tl.float32)
        part = tl.zeros((STEP, ROWS, 16), dtype=tl.float32)
        ones = tl.zeros((STEP, 1, 16), dtype=tl.float32)
        plain = tl.zeros((STEP, 1, 16), dtype=tl.float32)
        for nibble in tl.static_range(8):
            at = x + group[:, None, None] * 128 + nibble * 16 + word
            value = tl.load(at, mask=inside, other=0.0).to(tl.float32)
            larger = value * (2.0 ** (12 - ((nibble + 1) % 3 if nibble >= 2 else nibble) * 4))
            part += _cut(packed, one, nibble) * larger
            ones += larger
            plain += value
        total += step[:, :, None] * (part - ones) + base[:, :, None] * plain
    tl.store(out + rows, tl.sum(tl.sum(total, axis=2), axis=0).to(out.dtype.element_ty), mask=there)
