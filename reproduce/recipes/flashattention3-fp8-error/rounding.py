"""FP8 attention of FlashAttention-3, emulated: operands rounded to e4m3, everything else in fp64.

Tensors are (n, d) in fp64. Source: arXiv:2407.08608, sections 3.3 and 4.3.
"""

import math
from collections.abc import Callable

import torch

LARGEST = 448.0  # of e4m3
BLOCK = 128  # rows that share a scale
WEIGHT_SCALE = 256.0  # the kernel's weights lie in (0, 1] before they are rounded; this uses e4m3's range
Quantise = Callable[[torch.Tensor], torch.Tensor]


def to_e4m3(x: torch.Tensor) -> torch.Tensor:
    """The nearest e4m3 numbers, as fp64; `x` must not exceed 448."""
    return x.float().to(torch.float8_e4m3fn).double()


def per_tensor(x: torch.Tensor) -> torch.Tensor:
    """Rounds with one scale, so that the largest magnitude is e4m3's largest."""
    scale = x.abs().max() / LARGEST
    return to_e4m3(x / scale) * scale


def per_block(x: torch.Tensor) -> torch.Tensor:
    """Rounds with a scale for each BLOCK rows."""
    rows = x.unflatten(0, (-1, min(BLOCK, x.shape[0])))
    scale = rows.abs().amax((1, 2), keepdim=True) / LARGEST
    return (to_e4m3(rows / scale) * scale).flatten(0, 1)


def hadamard(size: int, device: torch.device) -> torch.Tensor:
    """The orthogonal Hadamard matrix of that size, a power of two."""
    matrix = torch.ones(1, 1, dtype=torch.float64, device=device)
    while matrix.shape[0] < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(size)


def mixer(size: int, device: torch.device) -> torch.Tensor:
    """M: random signs, then Hadamard. It is orthogonal, so (Q M)(K M)' = Q K', and spreads outliers."""
    signs = torch.randint(0, 2, (size, 1), device=device).double() * 2 - 1
    return signs * hadamard(size, device)


def exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k' / sqrt d) v in fp64."""
    return torch.softmax(q @ k.T / math.sqrt(q.shape[1]), dim=1) @ v


def fused(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    quantise: Quantise,
    mix: torch.Tensor | None,
    round_weights: Quantise = to_e4m3,
) -> torch.Tensor:
    """FlashAttention-3's way: weights relative to their row's largest are rounded, and divided at the end."""
    if mix is not None:
        q, k = q @ mix, k @ mix
    scores = quantise(q) @ quantise(k).T / math.sqrt(q.shape[1])
    weights = torch.exp(scores - scores.amax(1, keepdim=True))
    total = weights.sum(1, keepdim=True)
    return round_weights(weights * WEIGHT_SCALE) / WEIGHT_SCALE @ quantise(v) / total


def baseline(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Standard attention in e4m3: one scale a tensor, and the softmax's result held in fp16 between."""
    scores = per_tensor(q) @ per_tensor(k).T / math.sqrt(q.shape[1])
    weights = torch.softmax(scores, dim=1).half().double()
    return per_tensor(weights) @ per_tensor(v)


def draw(length: int, width: int, device: torch.device) -> list[torch.Tensor]:
    """Queries, keys and values, fp16 numbers: N(0, 1) + N(0, 100) Bernoulli(0.001). Source: section 4.3."""
    size = (length, width)
    return [
        (
            torch.randn(size, device=device)
            + 10 * torch.randn(size, device=device) * (torch.rand(size, device=device) < 0.001)
        )
        .half()
        .double()
        for _ in range(3)
    ]
