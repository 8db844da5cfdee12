"""The loss without logits: tiles of them are reduced as they are made, and made again for the gradients.

Features are (tokens, width), weights (words, width), labels (tokens,). Source: arXiv:2411.09009, section 4.
"""

from typing import Any

import torch

from . import kernels


def fused(e: torch.Tensor) -> bool:
    """Whether the Triton kernels take these features; otherwise the same is done block by block."""
    return kernels.AVAILABLE and e.is_cuda and e.dtype == torch.bfloat16 and e.shape[1] % kernels.DEEP == 0


def loss(e: torch.Tensor, c: torch.Tensor, labels: torch.Tensor, block: int) -> torch.Tensor:
    """Mean cross-entropy in nats, differentiable in features and weights; blocks are `block` a side."""
    return _Loss.apply(e, c, labels, block)


def log_sums(
    e: torch.Tensor, c: torch.Tensor, labels: torch.Tensor, block: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens,) log-sum-exp of the logits, and the label's logit, in fp32."""
    if fused(e):
        return kernels.log_sums(e, c, labels)
    total = torch.full((len(e),), -torch.inf, device=e.device)
    hit = torch.zeros_like(total)
    for first in range(0, len(c), block):
        logits = e.float() @ c[first : first + block].float().t()
        total = torch.logaddexp(total, logits.logsumexp(1))
        inside = ((labels >= first) & (labels < first + logits.shape[1])).nonzero()[:, 0]
        hit[inside] = logits[inside, labels[inside] - first]
    return total, hit


def slopes(
    e: torch.Tensor,
    c: torch.Tensor,
    labels: torch.Tensor,
    log_sum: torch.Tensor,
    scale: torch.Tensor,
    first: int,
) -> torch.Tensor:
    """d loss / d logits of a block of tokens and words, in the features' precision."""
    if fused(e):
        return kernels.slopes(e, c, labels, log_sum, scale, first)
    found = (e.float() @ c.float().t() - log_sum[:, None]).exp()
    inside = ((labels >= first) & (labels < first + len(c))).nonzero()[:, 0]
    found[inside, labels[inside] - first] -= 1
    return (found * scale).to(e.dtype)


class _Loss(torch.autograd.Function):
    """Keeps inputs and one number for each token; makes slopes block by block in backward."""

    @staticmethod
    def forward(ctx: Any, e: torch.Tensor, c: torch.Tensor, labels: torch.Tensor, block: int) -> torch.Tensor:
        log_sum, hit = log_sums(e, c, labels, block)
        ctx.save_for_backward(e, c, labels, log_sum)
        ctx.block = block
        return (log_sum - hit).mean()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        e, c, labels, log_sum = ctx.saved_tensors
        scale, block = gradient.float() / len(e), ctx.block
        e_gradient, c_gradient = torch.empty_like(e), torch.empty_like(c)
        for row in range(0, len(e), block):
            rows = slice(row, row + block)
            total = torch.zeros(e[rows].shape, device=e.device)
            for first in range(0, len(c), block):
                words = slice(first, first + block)
                slope = slopes(e[rows], c[words], labels[rows], log_sum[rows], scale, first)
                c_gradient[words].addmm_(slope.t(), e[rows], beta=1 if row else 0)
                total = _added(total, slope, c[words])
            e_gradient[rows] = total
        return e_gradient, c_gradient, None, None


def _added(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """total + a b, added up in fp32 whatever the precision of a and b."""
    if a.dtype == torch.float32 or not a.is_cuda:
        return total.addmm_(a.float(), b.float())
    return torch.addmm(total, a, b, out_dtype=torch.float32)
