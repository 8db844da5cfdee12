"""Second-order compression of a layer: its inputs' statistics, and the sweep that GPTQ and SparseGPT share.

A layer's error is |W X - V X|^2: its Hessian is X X' (inputs, inputs). Sources: arXiv:2210.17323, 2301.00774.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from reproduce.recipes.blocks.tinygpt import TinyGPT

VERSION = 1
BLOCK = 128  # columns whose updates of the rest are made at once
DAMP = 0.01  # share of the mean diagonal that is added to it

SHARED = (  # layers of a TinyGPT block, those of the same input together
    ("mixer.query", "mixer.key", "mixer.value"),
    ("mixer.out",),
    ("feed_forward.up",),
    ("feed_forward.down",),
)
# (block's current columns, its part of the inverse factor, column within, first column's place) -> new column
Compress = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (weight, products) -> new weight
Choose = Callable[[torch.Tensor, torch.Tensor, int, int], torch.Tensor]


@dataclass
class Inputs:
    """Statistics of what a layer was given: the sum of x x' (inputs, inputs) over `count` tokens."""

    products: torch.Tensor
    count: int = 0

    @classmethod
    def none(cls, width: int, device: torch.device) -> "Inputs":
        """Before the first token."""
        return cls(torch.zeros(width, width, device=device))

    def add(self, x: torch.Tensor) -> None:
        """Takes (..., inputs) more tokens."""
        rows = x.flatten(0, -2)
        self.products += (rows.T @ rows).float()
        self.count += len(rows)

    @property
    def norms(self) -> torch.Tensor:
        """(inputs,) the length of each input feature over all tokens."""
        return self.products.diagonal().sqrt()


def gather(
    model: nn.Module, layers: Iterable[tuple[str, nn.Linear]], batches: Iterable[torch.Tensor]
) -> dict[str, Inputs]:
    """What each layer is given while the model reads the batches."""
    found, hooks = {}, []
    for name, layer in layers:
        found[name] = Inputs.none(layer.in_features, layer.weight.device)
        hooks.append(layer.register_forward_pre_hook(lambda _, given, to=found[name]: to.add(given[0])))
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def by_block(model: TinyGPT, tokens: torch.Tensor, compress: Compress, stacked: bool = False) -> TinyGPT:
    """A copy compressed block by block, each on what the blocks before it, compressed already, give it.

    `stacked`: layers of the same input are compressed as one matrix; right where rows are independent.
    """
    changed = copy.deepcopy(model)
    for block in changed.blocks:
        groups = [[block.get_submodule(name) for name in names] for names in SHARED]
        firsts = [(str(place), group[0]) for place, group in enumerate(groups)]
        seen = gather(changed, firsts, tokens.split(32))
        for place, group in enumerate(groups):
            for layers in [group] if stacked else [[layer] for layer in group]:
                new = compress(torch.cat([layer.weight for layer in layers]), seen[str(place)].products)
                for layer, rows in zip(layers, new.split([la.out_features for la in layers]), strict=True):
                    layer.weight.data.copy_(rows)
    return changed


def inverse_factor(products: torch.Tensor, damp: float = DAMP) -> torch.Tensor:
    """The upper Cholesky factor U of the damped Hessian's inverse, U' U; inputs never seen count as damped.

    Raises torch.linalg.LinAlgError if even the damped Hessian is not positive definite.
    """
    backwards = products.flip(0, 1)  # H = R R' with R upper is Cholesky's H = L L' read from the end
    diagonal = backwards.diagonal()
    diagonal[diagonal == 0] = 1.0
    diagonal += damp * diagonal.mean()
    lower = torch.linalg.cholesky(backwards)
    del backwards, diagonal
    one = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
    return torch.linalg.solve_triangular(lower, one, upper=False).flip(0, 1)


def sweep(weight: torch.Tensor, factor: torch.Tensor, choose: Choose, block: int = BLOCK) -> torch.Tensor:
    """Replaces the columns of (outputs, inputs) in turn; the columns after each make up for its error.

    `choose` gives a column's new values from what it has become. Source: arXiv:2210.17323, algorithm 1.
    """
    rest, out = weight.clone(), torch.empty_like(weight)
    for start in range(0, weight.shape[1], block):
        end = min(start + block, weight.shape[1])
        part, local = rest[:, start:end], factor[start:end, start:end].contiguous()
        steps = local / local.diagonal()[:, None]  # row i: how the columns after i answer i's error
        errors = torch.empty_like(part)
        for column in range(end - start):
            new = choose(part, local, column, start)
            gap = part[:, column] - new
            out[:, start + column] = new
            errors[:, column] = gap
            part[:, column:].addr_(gap, steps[column, column:], alpha=-1)
        errors /= local.diagonal()
        rest[:, end:].addmm_(errors, factor[start:end, end:], alpha=-1)
    return out


def reconstruction_error(weight: torch.Tensor, new: torch.Tensor, products: torch.Tensor) -> float:
    """|W X - V X|^2 relative to |W X|^2."""
    gap = (weight - new).double()
    whole, hessian = weight.double(), products.double()
    return (((gap @ hessian) * gap).sum() / ((whole @ hessian) * whole).sum()).item()
