"""Counts that no hardware changes (profile A1): parameters on the meta device, and FLOP of a step."""

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

VERSION = 1


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """The module without memory for its weights, whatever its size."""
    with torch.device("meta"):
        return build()


def parameters(module: nn.Module, skipped: Iterable[str] = ()) -> int:
    """Parameters, shared ones once; without those whose name begins with one of `skipped`."""
    prefixes = tuple(skipped)
    return sum(
        p.numel() for name, p in module.named_parameters() if not (prefixes and name.startswith(prefixes))
    )


def flop(work: Callable[[], object]) -> int:
    """FLOP of the matrix products, convolutions and attentions in `work`; two for each multiply-add."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
