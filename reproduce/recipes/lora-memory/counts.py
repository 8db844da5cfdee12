"""What LoRA trains and stores at GPT-3's shape, counted on the meta device: no memory, no time."""

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.memory import tensor_bytes

from .transformer import SHAPES, build


def count(context: Context) -> None:
    """Measures trainable_ratio and checkpoint."""
    model = build(SHAPES["gpt3-175b"], torch.device("meta"), torch.bfloat16, context["rank"])
    everything = sum(parameter.numel() for parameter in model.base())
    trained = sum(parameter.numel() for parameter in model.adapters())
    stored = tensor_bytes(model.adapters())
    detail = {"parameters": everything, "trainable": trained, "rank": context["rank"]}
    context.measure("trainable_ratio", everything / trained, detail=detail)
    context.measure(
        "checkpoint",
        stored / 1e6,
        detail={
            **detail,
            "bytes": stored,
            "mib": stored / 2**20,
            "full_bytes": tensor_bytes(model.base()),
        },
    )
