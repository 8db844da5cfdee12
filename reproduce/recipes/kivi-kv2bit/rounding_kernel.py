# ruff: noqa: ANN001, ANN202 - Triton's arguments are pointers and constants
"""Rounding keys and values to the words of a 2-bit cache as one Triton kernel: a program for each group."""

import torch
import triton
import triton.language as tl

from .cache import CODES, GROUP


def launch(keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Words and grids of keys and of values (batch, heads, tokens, D), as cache.rounded gives them."""
    batch, heads, tokens, width = keys.shape
    words = width // CODES
    sizes = ((tokens, words), (tokens // GROUP, width), (tokens, words), (tokens, width // GROUP))
    found = tuple(torch.empty(batch, heads, *size, dtype=torch.int32, device=keys.device) for size in sizes)
    if tokens:
        _round[(batch * heads, tokens // GROUP)](
            keys, values, *found, heads, *keys.stride()[:3], *values.stride()[:3],
            GROUP=GROUP, CODES=CODES, WORDS=words, num_warps=4,
        )  # fmt: skip
    return found


@triton.jit
def _codes(x, low, high):
    """Codes of 0 to 3 and the word with scale and offset, for groups that span from low to high."""
    scale = tl.maximum(tl.div_rn(high - low, tl.full(low.shape, 3.0, tl.float32)), 1e-12).to(tl.float16)
    offset = low.to(tl.float16)
    steps = tl.div_rn(x - offset.to(tl.float32), tl.maximum(scale.to(tl.float32), 2.0**-14) + x * 0.0)
    codes = (steps + 12582912.0) - 12582912.0  # to the nearest integer, a half to the even one
    codes = tl.minimum(tl.maximum(codes, 0.0), 3.0).to(tl.int32)
    grid = (offset.to(tl.int16, bitcast=True).to(tl.int32) << 16) | (
        tl.maximum(scale, 2.0**-14).to(tl.float16).to(tl.int16, bitcast=True).to(tl.int32) & 0xFFFF
    )
    return codes, grid


@triton.jit
def _round(
    keys, values, key_words, key_grid, value_words, value_grid, heads,
    key_batch, key_head, key_token, value_batch, value_head, value_token,
    GROUP: tl.constexpr, CODES: tl.constexpr, WORDS: tl.constexpr,
):  # fmt: skip
    row, group = tl.program_id(0).to(tl.int64), tl.program_id(1)
    batch, head = row // heads, row % heads
    place = row * tl.num_programs(1) + group  # of the group among all
    token = tl.arange(0, GROUP)
    tokens = (group * GROUP + token).to(tl.int64)

    code, word = tl.arange(0, CODES)[None, :, None], tl.arange(0, WORDS)[None, None, :]
    keys += batch * key_batch + head * key_head + tokens[:, None, None] * key_token
    x = tl.load(keys + code * WORDS + word).to(tl.float32)
    codes, grid = _codes(x, tl.min(x, 0, keep_dims=True), tl.max(x, 0, keep_dims=True))
    words = tl.sum(codes << (2 * code), 1)
    tl.store(key_words + (place * GROUP + token[:, None]) * WORDS + tl.arange(0, WORDS)[None, :], words)
    tl.store(key_grid + place * CODES * WORDS + code * WORDS + word, grid)

    part, half = tl.arange(0, WORDS // 2)[None, :, None, None], tl.arange(0, 2)[None, None, :, None]
    code = tl.arange(0, CODES)[None, None, None, :]
    values += batch * value_batch + head * value_head + tokens[:, None, None, None] * value_token
    x = tl.load(values + part * GROUP + half * CODES + code).to(tl.float32)
    low = tl.min(tl.min(x, 3, keep_dims=True), 2, keep_dims=True)
    high = tl.max(tl.max(x, 3, keep_dims=True), 2, keep_dims=True)
    codes, grid = _codes(x, low, high)
    words = tl.sum(codes << (2 * code), 3, keep_dims=True)
    at = (place * GROUP + token[:, None, None, None]) * (WORDS // 2) + part
    tl.store(value_words + at * 2 + half, words)
    tl.store(value_grid + at, grid)
