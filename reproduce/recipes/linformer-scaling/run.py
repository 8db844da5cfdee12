"""Linformer (arXiv:2006.04768): attention to k projected tokens instead of n."""

import torch

from reproduce.recipes.context import Context

from . import quality, table


def run(context: Context) -> None:
    """Checks the layer against full attention, re-measures Table 3, then trains small models."""
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    with torch.no_grad():
        context.progress(0.05, "identity against full attention")
        quality.identity(context)
        table.measure(context, ceilings, dtype)
    quality.learning_gap(context)
    context.progress(1.0, "done")
