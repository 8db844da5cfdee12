# ruff: noqa: ANN001, ANN202 - Triton's arguments are pointers and constants
"""Restoring NF4 weights as one Triton kernel: a program for several blocks of 64."""

import torch
import triton
import triton.language as tl

BLOCKS = 32  # a program


@triton.jit
def _restore(packed, scales, values, out, blocks, BLOCKS: tl.constexpr):
    block = tl.program_id(0) * BLOCKS + tl.arange(0, BLOCKS)
    byte = tl.arange(0, 32)
    known = (block < blocks)[:, None]
    place = block.to(tl.int64)[:, None]
    pair = tl.load(packed + place * 32 + byte[None, :], mask=known, other=0).to(tl.int32)
    scale = tl.load(scales + block, mask=block < blocks, other=0.0)[:, None]
    low, high = tl.load(values + (pair & 15)) * scale, tl.load(values + (pair >> 4)) * scale
    at = out + place * 64 + byte[None, :]
    tl.store(at, low.to(out.dtype.element_ty), mask=known)
    tl.store(at + 32, high.to(out.dtype.element_ty), mask=known)


def restore(
    packed: torch.Tensor, scales: torch.Tensor, values: torch.Tensor, kind: torch.dtype
) -> torch.Tensor:
    """(blocks, 64) from packed (blocks, 32) uint8, scales (blocks,) and values (16,) in fp32."""
    out = torch.empty(len(packed), 64, dtype=kind, device=packed.device)
    _restore[(triton.cdiv(len(packed), BLOCKS),)](packed, scales, values, out, len(packed), BLOCKS=BLOCKS)
    return out
