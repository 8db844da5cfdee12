"""Sublinear memory (arXiv:1604.06174): keep every sqrt(n)-th layer's input and recompute the rest."""

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import depth, gradients, training


def run(context: Context) -> None:
    """Checks the gradients, then memory over depth, then memory and time of training steps."""
    if context.device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # the paper's arithmetic: fp32 throughout
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    context.progress(0.1, "gradients with and without recomputation")
    gradients.check(context)
    depth.over_depth(context)
    release(context.device)
    training.residual_net(context, ceilings)
    release(context.device)
    training.transformer(context)
    context.progress(1.0, "done")
