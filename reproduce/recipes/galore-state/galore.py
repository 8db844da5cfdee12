"""Adam in the leading directions of each matrix's gradient, which are found anew every so many steps.

Source: arXiv:2403.03507, Algorithm 2. A matrix is (m, n); its directions span the shorter side.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from reproduce.recipes.blocks.eight_bit import SMALLEST, Quantised

CHUNK = 2**24  # elements whose moments are widened to fp32 at once
Basis = Callable[[torch.Tensor, int], torch.Tensor]


def leading(gradient: torch.Tensor, rank: int) -> torch.Tensor:
    """(m, rank) orthonormal: the leading left singular vectors of an (m, n) matrix, m <= n, in fp32.

    They are eigenvectors of G G'; precise for all but the smallest singular values, which rank leaves out.
    """
    wide = gradient.float()
    return torch.linalg.eigh(wide @ wide.T)[1][:, -rank:].flip(1)


def sketched(gradient: torch.Tensor, rank: int) -> torch.Tensor:
    """The same, approximately, for large matrices: an orthonormal basis of G times a random matrix."""
    random = torch.randn(gradient.shape[1], rank, device=gradient.device, dtype=gradient.dtype)
    return torch.linalg.qr((gradient @ random).float())[0]


class GaLore(torch.optim.Optimizer):
    """AdamW; matrices in groups that have a `rank` are updated through a projection of their gradient."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        every: int = 200,
        alpha: float = 0.25,
        eight_bit: bool = False,
        basis: Basis = leading,
    ) -> None:
        """States have the parameters' format, or eight bits; projections have the parameters' format."""
        defaults = {"lr": lr, "betas": betas, "weight_decay": 0.0, "rank": None}
        super().__init__(groups, defaults)
        self.every, self.alpha, self.eight_bit, self.basis = every, alpha, eight_bit, basis

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of every parameter that has a gradient; a closure is not called."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.update(parameter, group)

    def update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """One update of one parameter by its gradient."""
        state = self.state[parameter]
        state["step"] = state.get("step", 0) + 1
        gradient = self._down(parameter, group["rank"], state)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        if "basis" in state:
            move = self._move(state, 0, gradient.flatten(), group["betas"]).view(gradient.shape)
            parameter.sub_(self._up(move, parameter, state), alpha=group["lr"])
            return
        pieces = zip(parameter.view(-1).split(CHUNK), gradient.reshape(-1).split(CHUNK), strict=True)
        for index, (weights, piece) in enumerate(pieces):
            weights.sub_(self._move(state, index, piece, group["betas"]), alpha=group["lr"])

    def _move(
        self, state: dict[str, Any], index: int, gradient: torch.Tensor, betas: tuple[float, float]
    ) -> torch.Tensor:
        """Adam's direction for a flat piece of the gradient; updates the piece's moments."""
        first, second = betas
        names = [f"{name} {index}" for name in ("first", "second")]
        m, v = (self._read(state, name, gradient) for name in names)
        m = m.mul_(first).add_(gradient, alpha=1 - first)
        v = v.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        for name, value in zip(names, (m, v), strict=True):
            self._write(state, name, value)
        size = (v / (1 - second ** state["step"])).sqrt_().add_(1e-8)
        return m / (1 - first ** state["step"]) / size

    def _down(self, parameter: nn.Parameter, rank: int | None, state: dict[str, Any]) -> torch.Tensor:
        """The gradient, (rank, longer side) if it is projected."""
        gradient = parameter.grad
        if rank is None:
            return gradient
        gradient = gradient if gradient.shape[0] <= gradient.shape[1] else gradient.T
        if (state["step"] - 1) % self.every == 0:
            state["basis"] = self.basis(gradient, rank).to(parameter.dtype).contiguous()
        return state["basis"].T @ gradient

    def _up(self, move: torch.Tensor, parameter: nn.Parameter, state: dict[str, Any]) -> torch.Tensor:
        whole = self.alpha * (state["basis"] @ move.to(state["basis"].dtype))
        return whole if parameter.shape[0] <= parameter.shape[1] else whole.T

    def _read(self, state: dict[str, Any], name: str, like: torch.Tensor) -> torch.Tensor:
        if name not in state:
            if self.eight_bit and like.numel() >= SMALLEST:
                state[name] = Quantised.zeros(like.numel(), like.device, signed=name.startswith("first"))
            else:
                state[name] = torch.zeros_like(like)
        kept = state[name]
        return kept.read() if isinstance(kept, Quantised) else kept.float()

    def _write(self, state: dict[str, Any], name: str, value: torch.Tensor) -> None:
        if isinstance(state[name], Quantised):
            state[name].write(value)
        else:
            state[name].copy_(value)


def kept(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Projections and moments that an optimizer keeps between steps."""
    held = []
    for state in optimizer.state.values():
        for value in state.values():
            held += value.tensors() if isinstance(value, Quantised) else [value]
    return [tensor for tensor in held if isinstance(tensor, torch.Tensor)]


def groups_of(
    parameters: Iterable[tuple[str, nn.Parameter]], rank: int, weight_decay: float = 0.0
) -> list[dict[str, Any]]:
    """Matrices of attention and feed-forward with a rank; embeddings, output and norms without."""
    inner, outer, norms = [], [], []
    for name, parameter in parameters:
        matrix = parameter.dim() >= 2
        (norms if not matrix else inner if ".mixer." in name or ".feed_forward." in name else outer).append(
            parameter
        )
    found = [
        {"params": inner, "rank": rank, "weight_decay": weight_decay},
        {"params": outer, "weight_decay": weight_decay},
        {"params": norms},
    ]
    return [group for group in found if group["params"]]
