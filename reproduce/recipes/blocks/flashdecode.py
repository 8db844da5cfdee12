"""Attention of few queries over many keys, split along the keys over the whole GPU, as a Triton kernel.

Queries are (batch, heads, queries, width), keys and values (batch, kv heads, length, width).
Source: Flash-Decoding, the split of FlashAttention along the keys; written for this project.
"""

import math

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU has no need of it
    triton = None

VERSION = 1
AVAILABLE = triton is not None
BLOCK = 64  # keys at a time
MOST_SPLITS = 64
LEAST_KEYS = 256  # of a split


def splits_of(pairs: int, length: int, processors: int) -> int:
    """How many parts to cut the keys into, so that about four programs come to each processor."""
    wanted = math.ceil(4 * processors / pairs)
    return max(1, min(wanted, length // LEAST_KEYS, MOST_SPLITS))


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k' / sqrt d) v. RuntimeError if a width is no power of two, or without Triton.

    All queries that share a key head are rows of one tile, so keys and values are read once.
    """
    batch, heads, queries, width = q.shape
    kv_heads, length = k.shape[1:3]
    rows = heads // kv_heads * queries
    if not AVAILABLE or width & (width - 1) or v.shape != k.shape or rows > 128:
        raise RuntimeError("Not a shape for this kernel.")
    pairs = batch * kv_heads
    processors = torch.cuda.get_device_properties(q.device).multi_processor_count
    splits = splits_of(pairs, length, processors)
    chunk = math.ceil(length / splits / BLOCK) * BLOCK
    parts = q.new_empty((pairs, splits, rows, width), dtype=torch.float32)
    peaks, sums = (parts.new_empty((pairs, splits, rows)) for _ in range(2))
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    strides = (*k.stride()[:3], *v.stride()[:3])
    scale = width**-0.5 * math.log2(math.e)
    tile = max(16, triton.next_power_of_2(rows))
    _parts[(pairs, splits)](
        *(q.contiguous(), k, v, parts, peaks, sums, length, chunk, splits, kv_heads, scale, *strides),
        **{"ROWS": rows, "TILE": tile, "WIDTH": width, "KEYS": BLOCK, "num_stages": 3},
    )
    _join[(pairs * rows,)](
        *(parts, peaks, sums, out, splits),
        **{"ROWS": rows, "WIDTH": width, "SPLITS": triton.next_power_of_2(splits)},
    )
    return out


if AVAILABLE:

    @triton.jit(do_not_specialize=["length", "chunk", "splits"])
    def _parts(  # noqa: ANN202 - Triton reads the annotations itself
        q, k, v, parts, peaks, sums, length, chunk, splits, kv_heads, scale,  # noqa: ANN001
        k_batch, k_head, k_token, v_batch, v_head, v_token,  # noqa: ANN001
        ROWS: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr, KEYS: tl.constexpr,
    ):  # fmt: skip
        """One key head and one split: the unnormalised sum, its largest score and the sum of weights."""
        pair, split = tl.program_id(0).to(tl.int64), tl.program_id(1)
        sequence, head = pair // kv_heads, pair % kv_heads
        rows, columns = tl.arange(0, TILE), tl.arange(0, WIDTH)
        real = rows < ROWS
        queries = tl.load(
            q + (pair * ROWS + rows[:, None]) * WIDTH + columns[None, :], mask=real[:, None], other=0.0
        )
        k += sequence * k_batch + head * k_head
        v += sequence * v_batch + head * v_head
        peak = tl.full([TILE], -1e30, tl.float32)
        total = tl.zeros([TILE], tl.float32)
        mixed = tl.zeros([TILE, WIDTH], tl.float32)
        end = tl.minimum((split + 1) * chunk, length)
        for start in range(split * chunk, end, KEYS):
            tokens = start + tl.arange(0, KEYS)
            there = tokens < end
            keys = tl.load(
                k + tokens[:, None].to(tl.int64) * k_token + columns[None, :], mask=there[:, None], other=0.0
            )
            values = tl.load(
                v + tokens[:, None].to(tl.int64) * v_token + columns[None, :], mask=there[:, None], other=0.0
            )
            scores = tl.where(there[None, :], tl.dot(queries, tl.trans(keys)) * scale, -1e30)
            higher = tl.maximum(peak, tl.max(scores, 1))
            weights = tl.exp2(scores - higher[:, None])
            shrink = tl.exp2(peak - higher)
            total = total * shrink + tl.sum(weights, 1)
            mixed = mixed * shrink[:, None] + tl.dot(weights.to(values.dtype), values)
            peak = higher
        place = (pair * splits + split) * ROWS + rows
        tl.store(peaks + place, peak, mask=real)
        tl.store(sums + place, total, mask=real)
        tl.store(parts + place[:, None] * WIDTH + columns[None, :], mixed, mask=real[:, None])

    @triton.jit(do_not_specialize=["splits"])
    def _join(  # noqa: ANN202
        parts, peaks, sums, out, splits,  # noqa: ANN001
        ROWS: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr,
    ):  # fmt: skip
        """One query: the splits' sums brought to the same scale, added and normalised."""
        row = tl.program_id(0).to(tl.int64)
        pair, own = row // ROWS, row % ROWS
        split, columns = tl.arange(0, SPLITS), tl.arange(0, WIDTH)
        there = split < splits
        place = (pair * splits + split) * ROWS + own
        peak = tl.load(peaks + place, mask=there, other=-1e30)
        weight = tl.exp2(peak - tl.max(peak, 0))
        total = tl.sum(weight * tl.load(sums + place, mask=there, other=0.0), 0)
        mixed = tl.load(parts + place[:, None] * WIDTH + columns[None, :], mask=there[:, None], other=0.0)
        result = tl.sum(mixed * weight[:, None], 0) / total
        tl.store(out + row * WIDTH + columns, result.to(out.dtype.element_ty))
