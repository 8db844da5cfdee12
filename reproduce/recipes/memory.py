"""Memory and traffic, counted: peak bytes of a step, bytes kept for backward, bytes that operations touch."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reproduce.recipes.toolbox import release, synchronise

VIEWS = {"empty", "empty_like", "empty_strided", "detach", "new_empty", "lift_fresh"}  # they touch no element


def peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """Most bytes allocated at once during a step, beyond what was allocated before it (profile M1).

    One warm step first, so that workspaces of libraries count as there already. Without a GPU the bytes
    are those of the tensors that live, seen at each operation's end.
    """
    step()
    release(device)
    if device.type == "cpu":
        with LiveBytes() as live:
            step()
        return live.peak
    synchronise(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    synchronise(device)
    return torch.cuda.max_memory_allocated(device) - before


def saved_bytes(forward: Callable[[], object], outside: list[torch.Tensor]) -> int:
    """Bytes that `forward` keeps for backward, each storage once, without those of the tensors `outside`."""
    known = {_storage_key(tensor) for tensor in outside}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if _storage_key(tensor) not in known:
            kept[_storage_key(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()  # alive until counted: a freed storage's address could come again
    del result
    return sum(kept.values())


def tensor_bytes(tensors: list[torch.Tensor]) -> int:
    """Bytes of the tensors' elements."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def moved_bytes(work: Callable[[], object]) -> int:
    """Bytes that the operations of `work` must move at least: see Traffic."""
    with Traffic() as traffic:
        work()
    return traffic.bytes


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors born inside it that are alive; `peak` is the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage_key(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and _storage_key(leaf) not in given | self._seen:
                self._born(leaf.untyped_storage())
        self.peak = max(self.peak, self.now)
        return result

    def _born(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self._seen.add(key)
        self.now += size
        weakref.finalize(storage, self._died, key, size)

    def _died(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations must move: each input read once, each output written once.

    A lower bound for every kernel, since tiles that are read again and again are not counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view or func._schema.name.split("::")[-1] in VIEWS:
            return result
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.bytes += sum(_touched(leaf) for leaf in inputs + outputs)
        return result


def _touched(tensor: torch.Tensor) -> int:
    """Bytes behind a tensor's elements; an expanded dimension is read once."""
    elements = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= size if stride else 1
    return elements * tensor.element_size()


def _storage_key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
