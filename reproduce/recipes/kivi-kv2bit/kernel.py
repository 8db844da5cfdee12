# ruff: noqa: ANN001, ANN202 - Triton's arguments are pointers and constants
"""Attention of one token over a 2-bit cache as one Triton kernel: a program for each sequence and head.

Channels lie as (16, words): code j of word w is channel words j + w; queries and results lie so too.
"""

import math

import torch
import triton
import triton.language as tl

from .cache import CODES, GROUP, Cache2


@triton.jit
def _weigh(scores, values, largest, total, result):
    """One tile of an online softmax: (tokens,) scores, (tokens, 16, words) values."""
    new = tl.maximum(largest, tl.max(scores, axis=0))
    weights = tl.exp2(scores - new)
    shrunk = tl.exp2(largest - new)
    result = result * shrunk + tl.sum(values * weights[:, None, None], axis=0)
    return new, total * shrunk + tl.sum(weights, axis=0), result


@triton.autotune(
    configs=[
        triton.Config({}, num_warps=warps, num_stages=stages) for warps, stages in ((4, 1), (4, 3), (8, 2))
    ],
    key=["groups", "recent"],
)
@triton.jit
def _attend(
    query, key_words, key_scale, key_offset, value_words, value_scale, value_offset,
    recent_keys, recent_values, out, groups, recent, scaling,
    GROUP: tl.constexpr, CODES: tl.constexpr, WORDS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    WIDTH: tl.constexpr = CODES * WORDS
    row = tl.program_id(0).to(tl.int64)
    token, code, word = tl.arange(0, GROUP), tl.arange(0, CODES), tl.arange(0, WORDS)
    channel = code[:, None] * WORDS + word[None, :]
    shift = (code * 2)[None, :, None]
    q = tl.load(query + row * WIDTH + channel).to(tl.float32) * scaling
    part = (code * WORDS // 32)[None, :, None]  # the channel group of values: 32 channels
    largest, total = tl.full([], -1.0e30, tl.float32), tl.full([], 0.0, tl.float32)
    result = tl.zeros((CODES, WORDS), dtype=tl.float32)
    for group in range(0, groups):
        place = row * groups + group
        tokens = place * GROUP + token
        key = tl.load(key_words + tokens[:, None] * WORDS + word[None, :])
        value = tl.load(value_words + tokens[:, None] * WORDS + word[None, :])
        k_scale = tl.load(key_scale + place * WIDTH + channel).to(tl.float32)
        k_offset = tl.load(key_offset + place * WIDTH + channel).to(tl.float32)
        v_place = tokens[:, None, None] * PARTS + part
        v_scale = tl.load(value_scale + v_place).to(tl.float32)
        v_offset = tl.load(value_offset + v_place).to(tl.float32)
        codes = ((key[:, None, :] >> shift) & 3).to(tl.float32)
        products = codes * (q * k_scale)[None, :, :]
        scores = tl.sum(tl.sum(products, axis=2), axis=1) + tl.sum(tl.sum(q * k_offset, axis=1), axis=0)
        values = ((value[:, None, :] >> shift) & 3).to(tl.float32) * v_scale + v_offset
        largest, total, result = _weigh(scores, values, largest, total, result)
    for first in range(0, recent, GROUP):
        inside = (first + token) < recent
        at = (row * recent + first + token)[:, None, None] * WIDTH + channel[None, :, :]
        keys = tl.load(recent_keys + at, mask=inside[:, None, None], other=0.0).to(tl.float32)
        values = tl.load(recent_values + at, mask=inside[:, None, None], other=0.0).to(tl.float32)
        scores = tl.where(inside, tl.sum(tl.sum(keys * q[None, :, :], axis=2), axis=1), -1.0e30)
        largest, total, result = _weigh(scores, values, largest, total, result)
    tl.store(out + row * WIDTH + channel, (result / total).to(out.dtype.element_ty))


def launch(query: torch.Tensor, cache: Cache2) -> torch.Tensor:
    """See cache.attention; all tensors of the cache are contiguous."""
    batch, heads, width = query.shape
    query = query.contiguous()
    out = torch.empty_like(query)
    scaling = math.log2(math.e) / math.sqrt(width)
    _attend[(batch * heads,)](
        query, cache.key_words, cache.key_scale, cache.key_offset,
        cache.value_words, cache.value_scale, cache.value_offset,
        cache.recent_keys, cache.recent_values, out,
        cache.key_scale.shape[2], cache.recent_keys.shape[2], scaling,
        GROUP=GROUP, CODES=CODES, WORDS=width // CODES, PARTS=width // GROUP,
    )  # fmt: skip
    return out
