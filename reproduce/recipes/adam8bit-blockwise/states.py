"""Bytes of optimizer state, counted from the tensors that the optimizers hold after a step."""

import torch
from torch import nn

from reproduce.recipes.blocks.eight_bit import BLOCK, Adam8bit
from reproduce.recipes.context import Context, level
from reproduce.recipes.memory import tensor_bytes

BLOCKS = (64, 128, 256, 512, 1024, 2048, 4096)
CLAIMED = 4.0
ELEMENTS = 2**18


def count(context: Context) -> None:
    """Measures state_saving at the paper's block; charts it by block size."""
    wide = _bytes(context, None)
    savings = {block: wide / _bytes(context, block) for block in BLOCKS}
    context.measure(
        "state_saving",
        savings[BLOCK],
        predicted=8 / (2 + 8 / BLOCK),
        predicted_note="Two codes of a byte and, for each block, two scales of four bytes.",
        detail={"elements": ELEMENTS, "bytes_32_bit": wide, "bytes_8_bit": wide / savings[BLOCK]},
    )
    context.chart(
        "saving_by_block",
        "Optimizer state of 32-bit Adam relative to 8-bit Adam",
        ("Elements in a block", "", True),
        ("Saving", "x", False),
        [
            {"label": "8-bit Adam", "x": list(savings), "y": list(savings.values())},
            level("claimed by the paper", BLOCKS, CLAIMED),
        ],
    )


def _bytes(context: Context, block: int | None) -> int:
    """Bytes of both moments and their scales; of 32-bit Adam for no block."""
    weight = nn.Parameter(torch.zeros(ELEMENTS, device=context.device))
    weight.grad = torch.ones_like(weight)
    optimizer = torch.optim.AdamW([weight]) if block is None else Adam8bit([weight], lr=1e-3, block=block)
    optimizer.step()
    held = [state for name, state in optimizer.state[weight].items() if name != "step"]
    return tensor_bytes(held)
