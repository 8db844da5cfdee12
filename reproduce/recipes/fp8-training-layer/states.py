"""Optimizer states: Adam in bf16 training (fp32 master and moments), and FP8-LM's narrow ones.

Narrow: fp8 gradient, fp16 master, fp8 first and fp16 second moment, six bytes a parameter, with an fp32 scale
for each block of both moments. Source: arXiv:2310.18313, section 2.1.
"""

import importlib

import torch
from torch import nn

from .fp8 import FORWARD, TINY, Narrow

BLOCK = 4096
MASTER_FACTOR = 64.0  # weights of about 0.02 lie where fp16 is precise
TOPS = (448.0, 2.0**15)  # a block's largest moment becomes this in e4m3 and in fp16
BETAS, EPS, RATE = (0.9, 0.95), 1e-8, 1e-4


class WideAdam:
    """bf16 weights and gradients, fp32 master weights and moments: 16 bytes a parameter."""

    def __init__(self, weights: list[nn.Parameter]) -> None:
        self.weights = weights
        self.masters = [weight.detach().float() for weight in weights]
        self.adams = [
            torch.optim.AdamW([master], lr=RATE, betas=BETAS, weight_decay=0.0, fused=True)
            for master in self.masters
        ]

    def step(self) -> None:
        """Applies the gradients and drops them."""
        for weight, master, adam in zip(self.weights, self.masters, self.adams, strict=True):
            master.grad, weight.grad = weight.grad.float(), None
            adam.step()
            master.grad = None
            with torch.no_grad():
                weight.copy_(master)

    def tensors(self) -> list[torch.Tensor]:
        """Master weights and moments, once a step has been taken."""
        moments = [adam.state[master] for adam, master in zip(self.adams, self.masters, strict=True)]
        return self.masters + [state[name] for state in moments for name in ("exp_avg", "exp_avg_sq")]


class NarrowWeights:
    """One weight (outputs, inputs) with all its narrow states; `narrow` is what products take."""

    def __init__(self, weight: torch.Tensor) -> None:
        """Raises ValueError if the weight does not consist of whole blocks."""
        if weight.numel() % BLOCK:
            raise ValueError(f"A weight needs a multiple of {BLOCK} elements.")
        blocks, device = weight.numel() // BLOCK, weight.device
        self.master = (weight.float() * MASTER_FACTOR).half()
        self.moments = [
            torch.zeros(blocks, BLOCK, dtype=FORWARD, device=device),
            torch.zeros(blocks, device=device),
            torch.zeros(blocks, BLOCK, dtype=torch.float16, device=device),
            torch.zeros(blocks, device=device),
        ]
        self.gradient: Narrow | None = None
        self.steps = 0
        self.narrow = self._rounded()

    def receive(self, gradient: torch.Tensor) -> None:
        """Keeps the gradient in fp8."""
        self.gradient = Narrow.of(gradient, FORWARD, transposed=False)

    def step(self) -> None:
        """Applies the gradient, and rounds the new weight for the next products."""
        self.steps += 1
        corrections = [1 / (1 - beta**self.steps) for beta in BETAS]
        numbers = [MASTER_FACTOR, RATE, *BETAS, EPS, *corrections, *TOPS, TINY]
        apply = update
        if self.master.is_cuda:
            apply = importlib.import_module(".kernels", __package__).adam  # needs Triton
        apply(self.master, self.gradient.values, self.gradient.scale, self.moments, numbers)
        self.narrow = None
        self.narrow = self._rounded()

    def states(self) -> list[torch.Tensor]:
        """Gradient, master weight and moments."""
        return [self.gradient.values, self.master, *self.moments]

    def tensors(self) -> list[torch.Tensor]:
        """All that is kept: states, and the weight in both layouts."""
        return [*self.states(), self.narrow.values, self.narrow.transposed]

    def _rounded(self) -> Narrow:
        found = Narrow.of(self.master)
        found.scale = found.scale / MASTER_FACTOR
        return found


def update(
    master: torch.Tensor,
    gradient: torch.Tensor,
    gradient_scale: torch.Tensor,
    moments: list[torch.Tensor],
    numbers: list[float],
) -> None:
    """One update in place, operation by operation.

    `moments`: first, its scales, second, its scales. `numbers`: master factor, rate, both betas, epsilon,
    both bias corrections, both tops, least magnitude.
    """
    factor, rate, beta_first, beta_second, eps, correct_first, correct_second, *tops, tiny = numbers
    first, first_scale, second, second_scale = moments
    g = (gradient.float() * gradient_scale).view_as(first)
    m = beta_first * first.float() * first_scale[:, None] + (1 - beta_first) * g
    v = beta_second * second.float() * second_scale[:, None] + (1 - beta_second) * g * g
    w = master.float().view_as(first) / factor
    w = w - rate * (m * correct_first) / ((v * correct_second).sqrt() + eps)
    master.copy_((w * factor).view_as(master))
    for kept, scale, value, top in ((first, first_scale, m, tops[0]), (second, second_scale, v, tops[1])):
        scale.copy_(value.abs().amax(dim=1).clamp(min=tiny) / top)
        kept.copy_(value / scale[:, None])
