"""Low-rank factors of a weight (outputs, inputs), plain or scaled by its inputs, and a model's ranks.

Source: arXiv:2312.05821, sections 3.2 (scaling) and 3.3 (sensitivity-based search of ranks).
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from reproduce.recipes.blocks.teacher import linears, replace
from reproduce.recipes.blocks.tinygpt import TinyGPT

ALPHA = 0.5
SHARES = tuple(tenth / 10 for tenth in range(1, 10))  # of a layer's parameters, tried one layer at a time
Shares = dict[str, float]  # by layer; 1 leaves it as it is


@dataclass(frozen=True)
class Basis:
    """A weight in order of importance: the first k columns of `left` times the first k rows of `right`."""

    left: torch.Tensor
    right: torch.Tensor

    @classmethod
    def of(cls, weight: torch.Tensor, scale: torch.Tensor | None = None) -> "Basis":
        """By the singular vectors of W diag(scale), from the smaller side's Gram matrix.

        In 64 bits: a GPU's fp32 eigenvectors are orthonormal to 1e-4 only, and all that is lost of a weight.
        """
        exact = weight.double()
        scaled = exact if scale is None else exact * scale.double()
        if weight.shape[0] <= weight.shape[1]:
            vectors = _descending(scaled @ scaled.T)  # left singular vectors: W = U U' W
            left, right = vectors, vectors.T @ exact
        else:
            vectors = _descending(scaled.T @ scaled)  # right ones: W = W S V V' / S
            left, right = scaled @ vectors, vectors.T if scale is None else vectors.T / scale.double()
        return cls(left.to(weight.dtype), right.to(weight.dtype))

    def cut(self, share: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Both factors with that share of the weight's parameters."""
        rank = rank_of((len(self.left), self.right.shape[1]), share)
        return self.left[:, :rank].contiguous(), self.right[:rank].contiguous()


def _descending(gram: torch.Tensor) -> torch.Tensor:
    return torch.linalg.eigh(gram).eigenvectors.flip(1)


def rank_of(shape: tuple[int, int], share: float) -> int:
    """The largest rank whose factors have at most that share of the parameters, but one at least."""
    outputs, inputs = shape
    return max(1, int(share * outputs * inputs / (outputs + inputs)))


def bases(model: TinyGPT, means: Mapping[str, torch.Tensor] | None) -> dict[str, Basis]:
    """Of all layers: scaled by their inputs' mean magnitudes to the power of ALPHA, or plain."""
    scales = {} if means is None else {name: mean.clamp_min(1e-6) ** ALPHA for name, mean in means.items()}
    return {name: Basis.of(layer.weight, scales.get(name)) for name, layer in linears(model)}


def mean_inputs(model: TinyGPT, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """(inputs,) of each layer: the mean magnitude of each channel over the tokens."""
    found: dict[str, torch.Tensor] = {}

    def look(name: str, given: torch.Tensor) -> None:
        found[name] = given.flatten(0, -2).abs().mean(0)

    hooks = [
        layer.register_forward_pre_hook(lambda _, given, name=name: look(name, given[0]))
        for name, layer in linears(model)
    ]
    with torch.no_grad():
        model(tokens)
    for hook in hooks:
        hook.remove()
    return found


def compressed(model: TinyGPT, found: Mapping[str, Basis], shares: Shares) -> TinyGPT:
    """A copy with factors in place of each layer whose share is below one."""
    changed = copy.deepcopy(model)
    for name, share in shares.items():
        if share < 1:
            replace(changed, name, _pair(found[name], share))
    return changed


def _pair(basis: Basis, share: float) -> nn.Sequential:
    left, right = basis.cut(share)
    return nn.Sequential(_linear(right), _linear(left))


def _linear(weight: torch.Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device=weight.device)
    made.weight = nn.Parameter(weight, requires_grad=False)
    return made


def kept_share(model: TinyGPT, shares: Shares) -> float:
    """Of the parameters of all layers, counted from what `compressed` would put there."""
    whole = kept = 0
    for name, layer in linears(model):
        outputs, inputs = layer.weight.shape
        whole += outputs * inputs
        kept += (
            outputs * inputs
            if shares[name] == 1
            else rank_of((outputs, inputs), shares[name]) * (outputs + inputs)
        )
    return kept / whole


def sensitivities(
    model: TinyGPT, found: Mapping[str, Basis], loss: Callable[[TinyGPT], float]
) -> dict[str, dict[float, float]]:
    """The loss with one layer cut to each share and all others whole."""
    changed, losses = copy.deepcopy(model), {}
    for name, layer in list(linears(changed)):
        losses[name] = {}
        for share in SHARES:
            replace(changed, name, _pair(found[name], share))
            losses[name][share] = loss(changed)
        replace(changed, name, layer)
    return losses


def searched(model: TinyGPT, losses: Mapping[str, Mapping[float, float]], target: float) -> Shares:
    """Each layer's smallest share whose own loss stays below the lowest threshold that meets the target."""

    def below(threshold: float) -> Shares:
        return {
            n: min((s for s, loss in by.items() if loss <= threshold), default=1.0)
            for n, by in losses.items()
        }

    thresholds = sorted({loss for by in losses.values() for loss in by.values()})
    low, high = 0, len(thresholds) - 1
    while low < high:
        middle = (low + high) // 2
        if kept_share(model, below(thresholds[middle])) <= target:
            high = middle
        else:
            low = middle + 1
    return below(thresholds[low])


def uniform(model: TinyGPT, share: float) -> Shares:
    """The same share for every layer."""
    return {name: share for name, _ in linears(model)}
