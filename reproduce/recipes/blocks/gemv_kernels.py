"""The Triton kernels of gemv.py: a few rows a program, all inputs in steps, one sum at the end.

A 4-bit code becomes the top of a float's fraction (1 + code / 16) by a shift and a mask: no conversion.
"""

import torch
import triton
import triton.language as tl

VERSION = 1


def _configs(steps: tuple[int, ...]) -> list[triton.Config]:
    return [
        triton.Config({"ROWS": rows, "STEP": step}, num_warps=warps)
        for rows, step, warps in zip((4, 8, 8, 16), steps, (4, 4, 8, 4), strict=True)
    ]


@triton.autotune(configs=_configs((8, 4, 8, 4)), key=["outputs", "groups"])
@triton.jit
def _dot4(words, scale, offset, x, out, outputs, groups, ROWS: tl.constexpr, STEP: tl.constexpr):  # noqa: ANN001, ANN202
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = rows < outputs
    word = tl.arange(0, 16)
    total = tl.zeros((ROWS, STEP, 16), dtype=tl.float32)
    for first in range(0, groups, STEP):
        group = first + tl.arange(0, STEP)
        inside = group < groups
        place = rows[:, None] * groups + group[None, :]
        known = there[:, None] & inside[None, :]
        packed = tl.load(
            words + place[:, :, None] * 16 + word[None, None, :], mask=known[:, :, None], other=0
        )
        part = tl.zeros((ROWS, STEP, 16), dtype=tl.float32)
        plain = tl.zeros((1, STEP, 16), dtype=tl.float32)
        for nibble in tl.static_range(8):
            at = group[None, :, None] * 128 + nibble * 16 + word[None, None, :]
            value = tl.load(x + at, mask=inside[None, :, None], other=0.0).to(tl.float32)
            if nibble < 5:  # noqa: SIM108 - decided while compiling
                moved = packed << (19 - 4 * nibble)
            else:
                moved = packed >> (4 * nibble - 19)
            part += ((moved & 0x00780000) | 0x3F800000).to(tl.float32, bitcast=True) * value
            plain += value
        step = tl.load(scale + place, mask=known, other=0.0).to(tl.float32)
        base = tl.load(offset + place, mask=known, other=0.0).to(tl.float32)
        total += (step * 16)[:, :, None] * (part - plain) + base[:, :, None] * plain
    tl.store(out + rows, tl.sum(tl.sum(total, axis=2), axis=1).to(out.dtype.element_ty), mask=there)


@triton.autotune(configs=_configs((1024, 512, 1024, 512)), key=["outputs", "inputs"])
@triton.jit
def _dot8(weight, x, scale, out, outputs, inputs, ROWS: tl.constexpr, STEP: tl.constexpr):  # noqa: ANN001, ANN202
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = rows < outputs
    total = tl.zeros((ROWS, STEP), dtype=tl.int32)
    for first in range(0, inputs, STEP):
        column = first + tl.arange(0, STEP)
        inside = column < inputs
        place = rows[:, None] * inputs + column[None, :]
        part = tl.load(weight + place, mask=there[:, None] & inside[None, :], other=0)
        total += part.to(tl.int32) * tl.load(x + column, mask=inside, other=0).to(tl.int32)[None, :]
    sums = tl.sum(total, axis=1).to(tl.float32) * tl.load(scale)
    tl.store(out + rows, sums.to(out.dtype.element_ty), mask=there)


def launch4(words: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(outputs,) of words (outputs, groups, 16), scale and offset (outputs, groups), x (128 groups,)."""
    outputs, groups = scale.shape
    out = torch.empty(outputs, dtype=x.dtype, device=x.device)
    _dot4[lambda meta: (triton.cdiv(outputs, meta["ROWS"]),)](words, scale, offset, x, out, outputs, groups)
    return out


def launch8(weight: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    """(outputs,) of weight (outputs, inputs) and x (inputs,), both int8; `scale` holds one fp32."""
    out = torch.empty(len(weight), dtype=kind, device=x.device)
    _dot8[lambda meta: (triton.cdiv(len(weight), meta["ROWS"]),)](weight, x, scale, out, *weight.shape)
    return out
