"""The 4-bit product with one token; weights packed as in blocks/gemv.py, by a kernel of our own on a GPU."""

import importlib

import torch

from reproduce.recipes.blocks import gemv
from reproduce.recipes.blocks.gemv import Packed4


def matvec4(weight: Packed4, x: torch.Tensor) -> torch.Tensor:
    """(outputs,) in the type of `x` (inputs,), accumulated in fp32."""
    if not x.is_cuda:
        return gemv.matvec4(weight, x)
    return importlib.import_module(f"{__package__}.product_kernel").launch(weight, x)
