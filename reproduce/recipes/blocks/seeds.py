"""Several seeds of one model, trained side by side: small models leave a GPU idle, and launches cost time.

Ids are (seeds, batch, length). Nothing couples the seeds, given an optimizer that works on each weight alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from reproduce.recipes.blocks.tinygpt import Attention, Shape, attend

VERSION = 1


class Seeds(nn.Module):
    """The models that `make(seed)` builds, as one; a plan for them has no `clip`, which would couple them.

    All weights are one tensor, (seeds, numbers), so that an update is a few launches; it has no decay, which
    would not spare gains. In training a batch goes through up to `parts` copies of each seed's weights, whose
    gradients are added: a product that sums over all tokens of a batch would keep few of a GPU's cores busy.
    The mean loss over seeds gives each a gradient smaller by their number, which Adam does not notice.
    What a model draws at random differs between seeds and copies. A model must not tie or buffer tensors.
    Raises ValueError if it has buffers.
    """

    def __init__(self, make: Callable[[int], nn.Module], seeds: Sequence[int], parts: int = 1) -> None:
        super().__init__()
        models = [make(seed) for seed in seeds]
        weights, buffers = stack_module_state(models)
        if buffers:
            raise ValueError("A model that is trained for several seeds at once has no buffers.")
        self._template = [models[0]]  # in a list, so that its own weights are not trained
        self._shapes = {name: weight.shape[1:] for name, weight in weights.items()}
        self.stacked = nn.Parameter(torch.cat([w.detach().flatten(1) for w in weights.values()], dim=1))
        self.parts = parts

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(seeds, batch, length) to what the model gives, with the seeds first."""
        parts = math.gcd(self.parts, ids.shape[1]) if torch.is_grad_enabled() else 1
        copies = self.stacked[:, None].expand(-1, parts, -1).flatten(0, 1)
        together = torch.vmap(self._one, randomness="different")
        found = together(self._named(copies), ids.unflatten(1, (parts, -1)).flatten(0, 1))
        return found.unflatten(0, (-1, parts)).flatten(1, 2)

    def one(self, seed: int, ids: torch.Tensor) -> torch.Tensor:
        """What the model of one seed, by its place, gives for (batch, length)."""
        return self._one(self._named(self.stacked.detach()[seed]), ids)

    def _named(self, numbers: torch.Tensor) -> dict[str, torch.Tensor]:
        """(..., numbers) as the weights of a model, (..., shape) each."""
        pieces = numbers.split([shape.numel() for shape in self._shapes.values()], dim=-1)
        return {
            name: piece.unflatten(-1, shape)
            for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)
        }

    def _one(self, weights: dict[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        return functional_call(self._template[0], weights, (ids,))


class Together(Attention):
    """Attention whose fused kernel takes several models at once: they are more sequences to it."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__(shape, layer)
        self.attend = _Folded.apply


class _Folded(torch.autograd.Function):
    """`attend` under torch.vmap, which has no rule of its own for some of PyTorch's kernels."""

    @staticmethod
    def forward(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return attend(q, k, v, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor | None, ...], output: torch.Tensor) -> None:
        """Keeps nothing: gradients are of what `vmap` calls, or of no single model."""

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *given: torch.Tensor | None
    ) -> tuple[torch.Tensor, int]:
        *qkv, bias = given
        folded = (x.movedim(at, 0).flatten(0, 1) for x, at in zip(qkv, in_dims, strict=False))
        return attend(*folded, bias).unflatten(0, (info.batch_size, -1)), 0


def lively(model: nn.Module, seed: int) -> nn.Module:
    """The model with matrices from N(0, 1 / inputs) and embeddings from N(0, 1).

    At widths below a hundred, GPT-2's 0.02 makes the first thousand steps idle.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)
    return model
