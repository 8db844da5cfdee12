"""Attention inside each sequence of a row only: by the variable-length flash kernel, or by a mask.

Queries, keys and values are (rows, heads, length, width).
"""

from functools import partial

import torch

from reproduce.recipes.blocks.zoo import Attend, scaled_dot

from .batches import Layout

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # an older PyTorch
    varlen_attn = None


def inside(layout: Layout, half: bool) -> Attend:
    """Attends within the layout's segments; the flash kernel takes half precision on a GPU only."""
    if layout.tokens.is_cuda and half and varlen_attn is not None:
        ends = torch.tensor([0, *layout.segments]).cumsum(0).to(layout.tokens.device, torch.int32)
        return partial(_by_kernel, ends=ends, longest=max(layout.segments))
    return partial(scaled_dot, mask=same_segment(layout))


def kernel_of(layout: Layout) -> str:
    """The name of what `inside` uses for half precision."""
    by_kernel = layout.tokens.is_cuda and varlen_attn is not None
    return "variable-length flash attention" if by_kernel else "a mask over all positions"


def under_padding_mask(layout: Layout) -> Attend:
    """Attends to every real token of the row, as padded rows with a padding mask do."""
    return partial(scaled_dot, mask=layout.real[:, None, None, :])


def same_segment(layout: Layout) -> torch.Tensor:
    """(rows, 1, length, length): true where both positions are of the same segment."""
    sizes = torch.tensor(layout.segments, device=layout.tokens.device)
    numbers = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    numbers = numbers.view(layout.tokens.shape)
    return (numbers[:, :, None] == numbers[:, None, :])[:, None]


def _by_kernel(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, ends: torch.Tensor, longest: int
) -> torch.Tensor:
    """All rows in one line of tokens, which the kernel cuts at `ends`."""
    flat = (x.transpose(1, 2).flatten(0, 1) for x in (q, k, v))
    mixed = varlen_attn(*flat, ends, ends, longest, longest)
    return mixed.unflatten(0, (q.shape[0], q.shape[2])).transpose(1, 2)
