"""Several seeds of one model, trained side by side: small models leave a GPU idle, and launches cost time.

Ids are (seeds, batch, length). Nothing couples the seeds, given an optimizer that works on each weight alone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state

VERSION = 1


class Seeds(nn.Module):
    """The models that `make(seed)` builds, as one; a plan for them has no `clip`, which would couple them.

    The mean loss over seeds gives each a gradient smaller by their number, which Adam does not notice.
    A model must not tie or buffer tensors. Raises ValueError if it has buffers.
    """

    def __init__(self, make: Callable[[int], nn.Module], seeds: Sequence[int]) -> None:
        super().__init__()
        models = [make(seed) for seed in seeds]
        weights, buffers = stack_module_state(models)
        if buffers:
            raise ValueError("A model that is trained for several seeds at once has no buffers.")
        self._template = [models[0]]  # in a list, so that its own weights are not trained
        self._names = list(weights)
        self.stacked = nn.ParameterList(nn.Parameter(weights[name].detach()) for name in self._names)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(seeds, batch, length) to what the model gives, with the seeds first."""
        weights = dict(zip(self._names, self.stacked, strict=True))
        return torch.vmap(self._one)(weights, ids)

    def _one(self, weights: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        return functional_call(self._template[0], weights, (ids,))
