"""Triton: logits made tile by tile, reduced at once to their log-sum, or turned into slopes of one block.

Features are (tokens, width), weights (words, width), both contiguous bf16; the width is a multiple of 64.
"""

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # a CPU has no need of it
    triton = None

AVAILABLE = triton is not None
PARTS = 8  # of the words in the forward pass: about four programs for each processor
DEEP = 64


def log_sums(e: torch.Tensor, c: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens,) log-sum-exp over all words, and the logit of each label; fp32. Keeps a megabyte at most."""
    n, v = len(e), len(c)
    peaks, sums, hits = torch.empty(3, PARTS, n, device=e.device, dtype=torch.float32)
    part = triton.cdiv(triton.cdiv(v, PARTS), 256) * 256
    _log_sums[lambda meta: (triton.cdiv(n, meta["ROWS"]), PARTS)](
        e, c, labels, peaks, sums, hits, n, v, part, WIDTH=e.shape[1]
    )
    peak = peaks.amax(0)
    return peak + (sums * (peaks - peak).exp()).sum(0).log(), hits.sum(0)


def slopes(
    e: torch.Tensor,
    c: torch.Tensor,
    labels: torch.Tensor,
    log_sum: torch.Tensor,
    scale: torch.Tensor,
    first: int,
) -> torch.Tensor:
    """(tokens, words) d loss / d logits of a block whose words begin at `first`: scale (p - label), bf16."""
    n, v = len(e), len(c)
    out = torch.empty(n, v, device=e.device, dtype=e.dtype)
    _slopes[lambda meta: (triton.cdiv(n, meta["ROWS"]), triton.cdiv(v, meta["COLUMNS"]))](
        e, c, labels, log_sum, scale, out, n, v, first, WIDTH=e.shape[1]
    )
    return out


if AVAILABLE:
    TILES = [
        triton.Config({"ROWS": rows, "COLUMNS": columns, "DEEP": DEEP}, num_warps=warps, num_stages=stages)
        for rows, columns, warps, stages in ((128, 256, 8, 3), (128, 128, 4, 4), (128, 128, 8, 3))
    ]

    @triton.jit
    def _logits(  # noqa: ANN202 - Triton reads the annotations itself
        e, c, rows, columns, n, end,  # noqa: ANN001
        WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEEP: tl.constexpr,
    ):  # fmt: skip
        """One tile of e c', fp32; columns from `end` on are zero."""
        found = tl.zeros((ROWS, COLUMNS), tl.float32)
        left = e + rows[:, None].to(tl.int64) * WIDTH
        right = c + columns[:, None].to(tl.int64) * WIDTH
        for start in range(0, WIDTH, DEEP):
            inner = start + tl.arange(0, DEEP)
            a = tl.load(left + inner[None, :], mask=rows[:, None] < n, other=0.0)
            b = tl.load(right + inner[None, :], mask=columns[:, None] < end, other=0.0)
            found = tl.dot(a, tl.trans(b), found)
        return found

    @triton.autotune(TILES, key=["WIDTH"])
    @triton.jit
    def _log_sums(  # noqa: ANN202
        e, c, labels, peaks, sums, hits, n, v, part,  # noqa: ANN001
        WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEEP: tl.constexpr,
    ):  # fmt: skip
        """A block of tokens over one part of the words: largest logit, sum of exponentials, label's logit."""
        rows, split = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1)
        label = tl.load(labels + rows, mask=rows < n, other=-1)
        peak = tl.full((ROWS,), -1e30, tl.float32)
        total = tl.zeros((ROWS,), tl.float32)
        hit = tl.zeros((ROWS,), tl.float32)
        end = tl.minimum((split + 1) * part, v)
        for start in range(split * part, end, COLUMNS):
            columns = start + tl.arange(0, COLUMNS)
            logits = _logits(e, c, rows, columns, n, end, WIDTH, ROWS, COLUMNS, DEEP)
            logits = tl.where(columns[None, :] < end, logits, -1e30)
            higher = tl.maximum(peak, tl.max(logits, 1))
            total = total * tl.exp(peak - higher) + tl.sum(tl.exp(logits - higher[:, None]), 1)
            hit += tl.sum(tl.where(columns[None, :] == label[:, None], logits, 0.0), 1)
            peak = higher
        place = split * n + rows
        tl.store(peaks + place, peak, mask=rows < n)
        tl.store(sums + place, total, mask=rows < n)
        tl.store(hits + place, hit, mask=rows < n)

    @triton.autotune(TILES, key=["WIDTH"])
    @triton.jit
    def _slopes(  # noqa: ANN202
        e, c, labels, log_sum, scale, out, n, v, first,  # noqa: ANN001
        WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEEP: tl.constexpr,
    ):  # fmt: skip
        """One tile of scale (exp(logit - log-sum) - [word is the label])."""
        rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        logits = _logits(e, c, rows, columns, n, v, WIDTH, ROWS, COLUMNS, DEEP)
        label = tl.load(labels + rows, mask=rows < n, other=-1) - first
        norm = tl.load(log_sum + rows, mask=rows < n, other=0.0)
        found = tl.exp(logits - norm[:, None])
        found = tl.where(columns[None, :] == label[:, None], found - 1.0, found) * tl.load(scale)
        there = (rows[:, None] < n) & (columns[None, :] < v)
        place = rows[:, None].to(tl.int64) * v + columns[None, :]
        tl.store(out + place, found.to(out.dtype.element_ty), mask=there)
