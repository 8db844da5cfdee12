"""BERT's encoder with attention or with Fourier mixing, and the loss of filling in masked tokens.

Sources: arXiv:1810.04805; arXiv:2105.03824, section 3. Norms come after the residual, as in both papers,
unless asked for before.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from . import mixing


@dataclass(frozen=True)
class Shape:
    """Sizes of an encoder; heads are 64 wide or, in a narrow one, half its width."""

    layers: int
    width: int
    vocabulary: int
    length: int  # longest sequence
    before: bool = False  # norms before the mixer and the feed-forward net, and a last one

    @property
    def heads(self) -> int:
        return self.width // min(64, self.width // 2)


class Attention(nn.Module):
    """Self-attention without a mask; `fused` by PyTorch's flash kernel, else operation by operation."""

    def __init__(self, shape: Shape, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = shape.heads, fused
        self.qkv, self.out = nn.Linear(shape.width, 3 * shape.width), nn.Linear(shape.width, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.fused:
            mixed = functional.scaled_dot_product_attention(q, k, v)
        else:
            scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
            mixed = torch.softmax(scores, dim=-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


class Fourier(nn.Module):
    """Fourier mixing; `by` names the function of mixing.py. It has no parameters."""

    def __init__(self, by: str) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return mixing.Mix.apply(x, getattr(mixing, self.by))


class Block(nn.Module):
    """Mixer and feed-forward net, each with its residual and then a norm, or the norm first."""

    def __init__(self, shape: Shape, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer, self.before = mixer, shape.before
        self.up, self.down = nn.Linear(shape.width, 4 * shape.width), nn.Linear(4 * shape.width, shape.width)
        self.norm_mixer, self.norm_forward = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.before:
            x = x + self.mixer(self.norm_mixer(x))
            return x + self._feed(self.norm_forward(x))
        x = self.norm_mixer(x + self.mixer(x))
        return self.norm_forward(x + self._feed(x))

    def _feed(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(functional.gelu(self.up(x)))


class Encoder(nn.Module):
    """`kind`: "attention", "flash", or a function of mixing.py. Output weights are the embedding's."""

    def __init__(self, shape: Shape, kind: str) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.length, shape.width)
        self.norm = nn.LayerNorm(shape.width)
        self.blocks = nn.ModuleList(Block(shape, _mixer(shape, kind)) for _ in range(shape.layers))
        self.last = nn.LayerNorm(shape.width) if shape.before else nn.Identity()
        self.head, self.head_norm = nn.Linear(shape.width, shape.width), nn.LayerNorm(shape.width)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def features(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, n) ids to (batch, n, width)."""
        x = self.norm(self.tokens(tokens) + self.places.weight[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.last(x)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) features to (..., vocabulary) logits."""
        x = self.head_norm(functional.gelu(self.head(x)))
        return functional.linear(x, self.tokens.weight, self.bias)

    def masked_loss(self, tokens: torch.Tensor, masked: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Mean loss of the tokens `wanted` at the places `masked`, both (batch, masked tokens)."""
        x = self.features(tokens)
        x = x.gather(1, masked[..., None].expand(-1, -1, x.shape[-1]))
        return functional.cross_entropy(self.logits(x).flatten(0, 1).float(), wanted.flatten())


def _mixer(shape: Shape, kind: str) -> nn.Module:
    return Attention(shape, kind == "flash") if kind in ("attention", "flash") else Fourier(kind)


def attention_parameters(shape: Shape) -> int:
    """What attention has and Fourier mixing has not: four projections with biases a layer."""
    return shape.layers * 4 * (shape.width**2 + shape.width)


def product_flop(shape: Shape, kind: str, tokens: int, length: int, masked: int) -> float:
    """FLOP of the matrix products of a training step: three times the forward pass's.

    Twice for mixing by products, whose matrices take no gradient.
    """
    width = shape.width
    forward, again = 16 * width**2, 0
    if kind in ("attention", "flash"):
        forward += 8 * width**2 + 4 * length * width
    elif kind != "by_fft":
        again = 4 * width**2 + 4 * length * width
    head = masked * 2 * (width**2 + width * shape.vocabulary)
    return shape.layers * (3 * forward + 2 * again) * tokens + 3 * head
