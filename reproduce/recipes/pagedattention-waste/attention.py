"""Attention of one new token to its cache, whose slots lie in a row or in pages named by a table.

Shapes: query (batch, heads, width); keys and values (slots, heads, width); lengths (batch,).
"""

import math

import torch
from torch.nn import functional

Pool = tuple[torch.Tensor, torch.Tensor]


def contiguous(q: torch.Tensor, pool: Pool, lengths: torch.Tensor, capacity: int) -> torch.Tensor:
    """Sequence i lies in slots i * capacity and on. (batch, heads, width)."""
    if q.is_cuda:
        from . import kernel  # noqa: PLC0415 - needs Triton, which a CPU build lacks

        return kernel.attend(q, pool, lengths, None, capacity)
    rows = torch.arange(capacity, device=q.device) + capacity * torch.arange(len(q), device=q.device)[:, None]
    return by_slots(q, pool, rows, lengths)


def paged(q: torch.Tensor, pool: Pool, lengths: torch.Tensor, table: torch.Tensor, page: int) -> torch.Tensor:
    """Token n of sequence i lies in page `table[i, n // page]`, at n % page in it. (batch, heads, width)."""
    if q.is_cuda:
        from . import kernel  # noqa: PLC0415 - needs Triton, which a CPU build lacks

        return kernel.attend(q, pool, lengths, table, page)
    return by_slots(q, pool, slots_of(table, page), lengths)


def slots_of(table: torch.Tensor, page: int) -> torch.Tensor:
    """(batch, pages) -> (batch, pages * page): the slot of each token."""
    return (table[:, :, None] * page + torch.arange(page, device=table.device)).flatten(1).long()


def by_slots(q: torch.Tensor, pool: Pool, slots: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Gathers keys and values by their slots (batch, n), then attends: the reference for any layout."""
    keys, values = (part[slots].transpose(1, 2) for part in pool)
    unseen = torch.arange(slots.shape[1], device=q.device) >= lengths[:, None]
    bias = torch.zeros(unseen.shape, dtype=q.dtype, device=q.device).masked_fill(unseen, -math.inf)
    mixed = functional.scaled_dot_product_attention(
        q[:, :, None], keys, values, attn_mask=bias[:, None, None]
    )
    return mixed[:, :, 0]


def scattered(batch: int, pages: int, device: torch.device) -> torch.Tensor:
    """(batch, pages) int32: a table whose pages lie in random order over the pool."""
    order = torch.randperm(batch * pages, generator=torch.Generator().manual_seed(0))
    return order.view(batch, pages).int().to(device)
