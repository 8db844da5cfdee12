"""Several seeds of one model, trained side by side: small models leave a GPU idle, and launches cost time.

Ids are (seeds, batch, length). Nothing couples the seeds, given an optimizer that works on each weight alone.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, stack_module_state

from reproduce.recipes.blocks.tinygpt import Attention, Shape

VERSION = 1


class Seeds(nn.Module):
    """The models that `make(seed)` builds, as one; a plan for them has no `clip`, which would couple them.

    All weights are one tensor, (seeds, numbers), so that an update is a few launches; it has no decay, which
    would not spare gains. In training a batch goes through up to `parts` copies of each seed's weights, whose
    gradients are added: a product that sums over all tokens of a batch would keep few of a GPU's cores busy.
    The mean loss over seeds gives each a gradient smaller by their number, which Adam does not notice.
    A model must not tie or buffer tensors. Raises ValueError if it has buffers.
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
        found = torch.vmap(self._one)(self._named(copies), ids.unflatten(1, (parts, -1)).flatten(0, 1))
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


class Explicit(Attention):
    """Attention by matrix products: PyTorch's fused kernels do not all run for several models at once."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__(shape, layer)
        self.attend = explicit


def explicit(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """softmax(q k' / sqrt d + bias) v; causal without a bias, which holds the mask too."""
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if bias is None:
        later = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    else:
        scores = scores + bias
    return torch.softmax(scores, dim=-1) @ v


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
