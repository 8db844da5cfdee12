"""2:4 sparsity (arXiv:2104.08378): two of every four weights are zero, and tensor cores skip them."""

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import language, products, sparse


def run(context: Context) -> None:
    """Checks the sparse product, times it over shapes and at a known layer, then prunes a small model."""
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "sparse against masked dense")
    sparse.check(context, dtype)
    context.progress(0.15, "shapes")
    products.over_shapes(context, ceilings, dtype)
    context.progress(0.5, "the products of a layer")
    products.of_a_layer(context, ceilings, dtype)
    release(context.device)
    context.progress(0.6, "a small language model, pruned")
    language.measure(context)
    context.progress(1.0, "done")
