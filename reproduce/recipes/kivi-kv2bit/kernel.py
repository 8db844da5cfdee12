# ruff: noqa: ANN001, ANN202, RUF005 - Triton's arguments are pointers and constants; it knows no (*a, b)
"""Attention of one token over a 2-bit cache, split along the tokens, as two Triton kernels.

A warp walks the rounded groups of a part of a row (sequence and head). A lane holds one word of some tokens;
all it does with a code is to cut it out as a float, to multiply and to add.
"""

import math

import torch
import triton
import triton.language as tl

from .cache import CODES, GROUP, Cache2

ONE = 0x3F800000  # the bits of 1.0
GROUPS = 16  # of a part, at most
TILE = 32  # recent tokens at a time


def launch(query: torch.Tensor, cache: Cache2) -> torch.Tensor:
    """See cache.attention; all tensors of the cache are contiguous."""
    batch, heads, width = query.shape
    rows, groups, words = batch * heads, cache.key_grid.shape[2], width // CODES
    query, out = query.contiguous(), torch.empty_like(query, memory_format=torch.contiguous_format)
    splits = triton.cdiv(groups, GROUPS)
    sums = query.new_empty((rows, splits, width), dtype=torch.float32)
    peaks, totals = (sums.new_empty((rows, splits)) for _ in range(2))
    scaling = math.log2(math.e) / math.sqrt(width)
    _rounded[(rows, splits)](
        query, cache.key_words, cache.key_grid, cache.value_words, cache.value_grid,
        sums, peaks, totals, groups, splits, scaling, ONE,
        GROUP=GROUP, CODES=CODES, WORDS=words,
    )  # fmt: skip
    _recent[(rows,)](
        query, cache.recent_keys, cache.recent_values, sums, peaks, totals, out,
        cache.recent_keys.shape[2], splits, scaling,
        TILE=TILE, WIDTH=width, SPLITS=triton.next_power_of_2(splits), num_warps=4,
    )  # fmt: skip
    return out


@triton.jit
def _cut(words, one, PLACE: tl.constexpr):
    """1 + code * 2^(PLACE % 4 * 2 - 9) of a place: the code's bits in the mantissa of 1.0."""
    if PLACE // 4 == 0:
        words = words << 14
    elif PLACE // 4 == 1:
        words = words << 6
    elif PLACE // 4 == 2:
        words = words >> 2
    else:
        words = words >> 10
    MASK: tl.constexpr = 3 << (14 + PLACE % 4 * 2)
    return ((words & MASK) | one).to(tl.float32, bitcast=True)


@triton.jit
def _halves(pair):
    """Scale and offset of a word that holds both."""
    scale = (pair & 0xFFFF).to(tl.int16).to(tl.float16, bitcast=True)
    offset = (pair >> 16).to(tl.int16).to(tl.float16, bitcast=True)
    return scale.to(tl.float32), offset.to(tl.float32)


@triton.autotune(  # a group's words and grids read one group ahead or not
    configs=[triton.Config({"STAGES": stages}, num_warps=1) for stages in (1, 2)], key=["groups"]
)
@triton.jit(do_not_specialize=["groups", "splits", "one"])
def _rounded(
    query, key_words, key_grid, value_words, value_grid, sums, peaks, totals, groups, splits, scaling, one,
    GROUP: tl.constexpr, CODES: tl.constexpr, WORDS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """One part of a row. `one` is no constant, so that a code is cut out by one instruction.

    Sums of 1 + code * u are freed of the ones before they grow: in each group, where they are small.
    """
    WIDTH: tl.constexpr = CODES * WORDS
    LANES: tl.constexpr = 32 // WORDS  # tokens side by side in a warp; the others of a group follow in it
    row, split = tl.program_id(0).to(tl.int64), tl.program_id(1)
    word = tl.arange(0, WORDS)[None, None, :]
    token = tl.arange(0, GROUP // LANES)[None, :, None] * LANES + tl.arange(0, LANES)[:, None, None]
    key_words += row * groups * GROUP * WORDS
    value_words += row * groups * GROUP * WORDS
    key_grid += row * groups * WIDTH
    value_grid += row * groups * GROUP * (WORDS // 2)
    zero = tl.zeros([LANES, WORDS], tl.float32)
    queries, mixed = (), ()
    for j in tl.static_range(CODES):
        channel = j * WORDS + word
        q = tl.load(query + row * WIDTH + channel).to(tl.float32)
        queries = queries + (q * (scaling * 2.0 ** (9 - j % 4 * 2)),)
        mixed = mixed + (zero,)
    total, shift = zero, zero
    peak = tl.full([LANES, 1, 1], -1.0e30, tl.float32)
    begin, end = split * groups // splits, (split + 1) * groups // splits
    for group in tl.range(begin, end, num_stages=STAGES):
        # No wider loads than of a word: a lane is to keep its word's channels.
        place = group * GROUP * WORDS + token * WORDS + word
        keys = tl.load(tl.multiple_of(key_words + place, [1, 1, 1]))
        values = tl.load(tl.multiple_of(value_words + place, [1, 1, 1]))
        place = value_grid + group * GROUP * (WORDS // 2) + token * (WORDS // 2) + word // 2
        value_scale, value_offset = _halves(
            tl.load(tl.multiple_of(tl.max_contiguous(place, [1, 1, 2]), [1, 1, 1]))
        )
        scores = tl.zeros([LANES, GROUP // LANES, WORDS], tl.float32)
        ones = tl.zeros([1, 1, WORDS], tl.float32)
        offsets = (ones, ones, ones, ones)
        for j in tl.static_range(CODES):
            scale, offset = _halves(tl.load(key_grid + group * WIDTH + j * WORDS + word))
            slope = queries[j] * scale
            scores += _cut(keys, one, j) * slope
            ones += slope
            more = ()
            for k in tl.static_range(4):
                more = more + (offsets[k] + queries[j] * offset if k == j % 4 else offsets[k],)
            offsets = more
        for k in tl.static_range(4):
            ones -= offsets[k] * 2.0 ** (k * 2 - 9)
        scores = tl.sum(scores - ones, 2, keep_dims=True)
        higher = tl.maximum(peak, tl.max(scores, 1, keep_dims=True))
        weights, shrink = tl.exp2(scores - higher), tl.sum(tl.exp2(peak - higher), 1)
        peak = higher
        total = total * shrink + tl.sum(weights, 1)
        shift = shift * shrink + tl.sum(weights * value_offset, 1)
        scaled = weights * value_scale
        ones_of_values = tl.sum(scaled, 1)
        more = ()
        for j in tl.static_range(CODES):
            new = tl.sum(_cut(values, one, j) * scaled, 1) - ones_of_values
            more = more + (mixed[j] * shrink + new,)
        mixed = more
    top = tl.max(peak, 0, keep_dims=True)
    shrink = tl.sum(tl.exp2(peak - top), 1)
    column, part = tl.arange(0, WORDS), row * splits + split
    shift = tl.sum(shift * shrink, 0)
    for j in tl.static_range(CODES):
        sum_of_lanes = tl.sum(mixed[j] * shrink, 0) * 2.0 ** (9 - j % 4 * 2)
        tl.store(sums + part * WIDTH + column * CODES + j, sum_of_lanes + shift)
    tl.store(peaks + part, tl.max(peak))
    tl.store(totals + part, tl.max(tl.sum(total * shrink, 0)))


@triton.jit(do_not_specialize=["recent", "splits"])
def _recent(
    query, recent_keys, recent_values, sums, peaks, totals, out, recent, splits, scaling,
    TILE: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr,
):  # fmt: skip
    """The recent tokens of a row, and the parts of its rounded ones joined to them."""
    row = tl.program_id(0).to(tl.int64)
    column, token, split = tl.arange(0, WIDTH), tl.arange(0, TILE), tl.arange(0, SPLITS)
    q = tl.load(query + row * WIDTH + column).to(tl.float32) * scaling
    part = row * splits + split
    there = split < splits
    part_peaks = tl.load(peaks + part, mask=there, other=-1.0e30)
    peak = tl.max(part_peaks, 0)
    shares = tl.exp2(part_peaks - peak)
    total = tl.sum(shares * tl.load(totals + part, mask=there, other=0.0), 0)
    parts = tl.load(sums + part[:, None] * WIDTH + column[None, :], mask=there[:, None], other=0.0)
    mixed = tl.sum(parts * shares[:, None], 0)
    for first in range(0, recent, TILE):
        place = (row * recent + first + token[:, None]) * WIDTH + column[None, :]
        keys = tl.load(recent_keys + place).to(tl.float32)
        values = tl.load(recent_values + place).to(tl.float32)
        scores = tl.sum(keys * q[None, :], 1)
        higher = tl.maximum(peak, tl.max(scores, 0))
        weights, shrink = tl.exp2(scores - higher), tl.exp2(peak - higher)
        peak = higher
        total = total * shrink + tl.sum(weights, 0)
        mixed = mixed * shrink + tl.sum(values * weights[:, None], 0)
    tl.store(out + row * WIDTH + column, (mixed / total).to(out.dtype.element_ty))
