"""Sequential operations: the longest chain of operations in which each needs the one before it.

Table 1 of arXiv:1706.03762 counts "the minimum number of sequential operations required".
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, slope

from .layers import Recurrent, SelfAttention


class Chain(TorchDispatchMode):
    """`longest` is the length of the longest chain so far; views and allocations take no place in it."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0
        self._depth: dict[int, int] = {}
        self._alive: list[torch.Tensor] = []  # a freed storage's address could come again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        depth = max((self._depth.get(_storage(leaf), 0) for leaf in given), default=-1) + 1
        if func.is_view:
            return result
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._depth[_storage(leaf)] = max(depth, self._depth.get(_storage(leaf), 0))
                self._alive.append(leaf)
        self.longest = max(self.longest, depth)
        return result


def longest_chain(work: Callable[[], object]) -> int:
    """Operations that must follow one another in `work`, whatever the hardware."""
    with Chain() as chain, torch.no_grad():
        work()
    return chain.longest


def count(context: Context) -> None:
    """Measures sequential_ops and sequential_ops_recurrent, the exponents, and charts the chains."""
    width, lengths = context["width"], [16, 32, 64, 128]
    attention, recurrent = SelfAttention(width, context["heads"]), Recurrent(width)
    chains: dict[str, list[int]] = {"self-attention": [], "LSTM": []}
    for length in lengths:
        x = torch.randn(1, length, width)
        chains["self-attention"].append(longest_chain(lambda x=x: attention(x)))
        chains["LSTM"].append(longest_chain(lambda x=x: recurrent.step_by_step(x)))
    for name, layer, expected in (
        ("sequential_ops", "self-attention", 0.0),
        ("sequential_ops_recurrent", "LSTM", 1.0),
    ):
        context.measure(
            name,
            slope(lengths, chains[layer]),
            predicted=expected,
            predicted_note="Table 1: O(1) operations for self-attention, O(n) for recurrence.",
            detail={"lengths": lengths, "operations": chains[layer]},
        )
    context.chart(
        "sequential_operations",
        "Operations that must follow one another, one layer forward",
        ("Sequence length", "tokens", True),
        ("Longest chain", "operations", True),
        [curve(name, lengths, [Interval(n, n, n, 1) for n in found]) for name, found in chains.items()],
    )


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
