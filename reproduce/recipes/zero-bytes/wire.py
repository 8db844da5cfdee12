"""Collectives among the processes of a group; counts the bytes that each process sends on a ring.

On a ring of n it sends (n - 1) / n of a reduce-scatter's or all-gather's payload, twice that to all-reduce.
"""

import torch
import torch.distributed as dist


class Wire:
    """A group of processes, and what this one has sent: `sent` in bytes."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group, self.sent = group, 0.0
        self.size, self.rank = dist.get_world_size(group), dist.get_rank(group)

    def all_reduce(self, whole: torch.Tensor) -> None:
        """Replaces `whole` by the sum over the group."""
        self._count(whole, passes=2)
        dist.all_reduce(whole, group=self.group)

    def reduce_scatter(self, whole: torch.Tensor) -> torch.Tensor:
        """This process's part of the sum of `whole` over the group; a tensor of its own."""
        self._count(whole, passes=1)
        part = whole.new_empty(whole.numel() // self.size)
        dist.reduce_scatter_tensor(part, whole, group=self.group)
        return part

    def all_gather(self, whole: torch.Tensor, part: torch.Tensor) -> None:
        """Fills `whole` with the parts of the group; `part` may be its own place in it."""
        self._count(whole, passes=1)
        dist.all_gather_into_tensor(whole, part, group=self.group)

    def part_of(self, whole: torch.Tensor) -> torch.Tensor:
        """This process's part, a view."""
        return whole.chunk(self.size)[self.rank]

    def _count(self, whole: torch.Tensor, passes: int) -> None:
        self.sent += passes * whole.numel() * whole.element_size() * (self.size - 1) / self.size


def groups_of_one() -> dist.ProcessGroup:
    """The group that this process alone is in; every process must call this."""
    made = [dist.new_group([rank]) for rank in range(dist.get_world_size())]
    return made[dist.get_rank()]
