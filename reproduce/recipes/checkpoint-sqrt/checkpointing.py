"""Ways to run a chain of layers: keeping everything for backward, every sqrt(n)-th input, or log2(n) inputs.

Layers map a tensor to a tensor. Source: arXiv:1604.06174, sections 4.2 (sqrt) and 4.4 (recursion).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

Layers = Sequence[nn.Module]
Way = Callable[[Layers, torch.Tensor], torch.Tensor]
LEAF = 2  # layers that recursion no longer splits


def plain(layers: Layers, x: torch.Tensor) -> torch.Tensor:
    """Autograd as it is: every layer keeps what its backward needs."""
    for layer in layers:
        x = layer(x)
    return x


def every_sqrt(layers: Layers, x: torch.Tensor) -> torch.Tensor:
    """Keeps the inputs of segments of ceil(sqrt n) layers; backward runs each segment forward again.

    The last segment keeps everything: backward begins there, so recomputing it would save nothing.
    """
    *before, last = segments(layers)
    for segment in before:
        x = again(plain, segment, x)
    return plain(last, x)


def recursive(layers: Layers, x: torch.Tensor) -> torch.Tensor:
    """Keeps the input of the first half, which is treated likewise when backward comes to it."""
    if len(layers) <= LEAF:
        return plain(layers, x)
    half = len(layers) // 2
    return recursive(layers[half:], again(recursive, layers[:half], x))


def again(way: Way, layers: Layers, x: torch.Tensor) -> torch.Tensor:
    """Runs the layers, keeps their input alone, and runs them again in backward."""
    return checkpoint(way, layers, x, use_reentrant=False, preserve_rng_state=False)


def segments(layers: Layers) -> list[Layers]:
    """Runs of ceil(sqrt n) layers; the last may be shorter."""
    size = math.ceil(math.sqrt(len(layers)))
    return [layers[start : start + size] for start in range(0, len(layers), size)]


def step(way: Way, layers: Layers, x: torch.Tensor, gradient: torch.Tensor) -> None:
    """Forward and backward of one batch; gradients of the parameters add up where they are."""
    way(layers, x).backward(gradient)
