"""Guard: attention through a page table equals attention over the same tokens in a row, and float64."""

import torch

from reproduce.recipes.context import Context

from . import attention
from .decoder import PAGE, SHAPES

LIMIT = 1e-3  # RECIPES, section 52
BATCH, CAPACITY = 5, 128


def same_attention(context: Context) -> None:
    """Ragged lengths; both layouts hold the same tokens. Guards paged_equals_contiguous and paged_exact."""
    shape = SHAPES[context["shape"]]
    dtype = torch.float16 if context.device.type == "cuda" else torch.float32
    rows = torch.randn(2, BATCH * CAPACITY, shape.heads, shape.head_width, device=context.device).to(dtype)
    q = torch.randn(BATCH, shape.heads, shape.head_width, device=context.device).to(dtype)
    lengths = torch.tensor([1, 15, 16, 77, CAPACITY], dtype=torch.int32, device=context.device)
    table = attention.scattered(BATCH, CAPACITY // PAGE, context.device)
    scattered = torch.empty_like(rows)
    scattered[:, attention.slots_of(table, PAGE).flatten()] = rows
    row = attention.contiguous(q, (rows[0], rows[1]), lengths, CAPACITY)
    paged = attention.paged(q, (scattered[0], scattered[1]), lengths, table, PAGE)
    places = torch.arange(BATCH * CAPACITY, device=context.device).view(BATCH, CAPACITY)
    exact = attention.by_slots(q.double(), (rows[0].double(), rows[1].double()), places, lengths)
    context.guard(
        "paged_equals_contiguous",
        (paged.double() - row.double()).abs().max().item(),
        LIMIT,
        "Largest difference of the two layouts' outputs on the same tokens, lengths from 1 to 128.",
    )
    context.guard(
        "paged_exact",
        (paged.double() - exact).abs().max().item(),
        2 * LIMIT,
        "Largest difference to attention in 64-bit arithmetic.",
    )
