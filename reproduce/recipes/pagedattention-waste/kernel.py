"""The same decode kernel for both layouts: only how a token's slot is found differs.

One program for each sequence and head; online softmax over tiles of the cache. Needs Triton.
"""

import torch
import triton
import triton.language as tl

TILE = 64


def attend(
    q: torch.Tensor,
    pool: tuple[torch.Tensor, torch.Tensor],
    lengths: torch.Tensor,
    table: torch.Tensor | None,
    page: int,
) -> torch.Tensor:
    """(batch, heads, width); without a table sequence i starts at slot i * page. Lengths are int32."""
    batch, heads, width = q.shape
    out = torch.empty_like(q)
    pages = 0 if table is None else table.shape[1]
    _decode[(heads, batch)](
        q,
        *pool,
        out,
        lengths,
        lengths if table is None else table,
        heads,
        pages,
        width**-0.5,
        PAGE=page,
        PAGED=table is not None,
        WIDTH=width,
        TILE=TILE,
        num_warps=4,
    )
    return out


@triton.jit
def _decode(  # noqa: ANN202 - Triton reads no annotation of the result
    q,  # noqa: ANN001
    k,  # noqa: ANN001
    v,  # noqa: ANN001
    out,  # noqa: ANN001
    lengths,  # noqa: ANN001
    table,  # noqa: ANN001
    heads,  # noqa: ANN001
    pages,  # noqa: ANN001
    scale,  # noqa: ANN001
    PAGE: tl.constexpr,
    PAGED: tl.constexpr,
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
):
    head = tl.program_id(0)
    sequence = tl.program_id(1)
    along = tl.arange(0, WIDTH)
    length = tl.load(lengths + sequence)
    query = tl.load(q + (sequence * heads + head) * WIDTH + along).to(tl.float32) * scale
    highest = -float("inf")
    total = 0.0
    mixed = tl.zeros([WIDTH], dtype=tl.float32)
    for start in range(0, length, TILE):
        places = start + tl.arange(0, TILE)
        inside = places < length
        if PAGED:
            owner = tl.load(table + sequence * pages + places // PAGE, mask=inside, other=0)
            slots = owner * PAGE + places % PAGE
        else:
            slots = sequence * PAGE + places
        rows = (slots.to(tl.int64) * heads + head)[:, None] * WIDTH + along[None, :]
        keys = tl.load(k + rows, mask=inside[:, None], other=0.0).to(tl.float32)
        values = tl.load(v + rows, mask=inside[:, None], other=0.0).to(tl.float32)
        scores = tl.where(inside, tl.sum(keys * query[None, :], axis=1), -float("inf"))
        higher = tl.maximum(highest, tl.max(scores, axis=0))
        weights = tl.exp(scores - higher)
        shrink = tl.exp(highest - higher)
        total = total * shrink + tl.sum(weights, axis=0)
        mixed = mixed * shrink + tl.sum(weights[:, None] * values, axis=0)
        highest = higher
    tl.store(out + (sequence * heads + head) * WIDTH + along, (mixed / total).to(out.dtype.element_ty))
