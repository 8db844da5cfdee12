"""A small decoder-only transformer whose parts can be exchanged: positions, norm, heads, mixer, feed-forward.

Tensors are (batch, length, width) between layers and (batch, heads, length, head width) inside attention.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

VERSION = 1
NORMS = {"rms": nn.RMSNorm, "layer": nn.LayerNorm}
ROPE_BASE = 10_000.0


@dataclass(frozen=True)
class Shape:
    """Sizes of a TinyGPT; `kv_heads` below `heads` is grouped-query (1: multi-query) attention."""

    layers: int
    width: int
    heads: int
    length: int  # longest sequence of learned positions; others have no such limit
    vocabulary: int = 256
    kv_heads: int | None = None
    hidden: int | None = None  # of the feed-forward; four widths unless given
    norm: str = "rms"  # or "layer"
    positions: str = "rope"  # or "alibi", "sinusoidal", "learned", "none"
    tied: bool = True  # output weights are the embedding's
    window: int | None = None  # a token sees itself and the window - 1 tokens before it

    @property
    def head_width(self) -> int:
        return self.width // self.heads


SMOKE = Shape(layers=2, width=64, heads=2, length=64)
SMALL = Shape(layers=8, width=512, heads=8, length=256)  # 25 million parameters


@dataclass
class Cache:
    """Keys and values so far, for each layer (batch, kv heads, length, head width), in static buffers."""

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    filled: int = 0

    @classmethod
    def empty(
        cls, shape: Shape, batch: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> "Cache":
        """Room for `capacity` tokens of each of `batch` sequences."""
        size = (batch, shape.kv_heads or shape.heads, capacity, shape.head_width)
        made = [
            [torch.zeros(size, dtype=dtype, device=device) for _ in range(shape.layers)] for _ in range(2)
        ]
        return cls(*made)

    def extend(
        self, layer: int, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Stores a layer's new keys and values; returns all of them. The last layer moves `filled`."""
        end = self.filled + keys.shape[2]
        self.keys[layer][:, :, self.filled : end] = keys
        self.values[layer][:, :, self.filled : end] = values
        if layer == len(self.keys) - 1:
            self.filled = end
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Attention(nn.Module):
    """Causal self-attention; `attend(q, k, v, bias)` may be replaced, to try another kernel."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.shape, self.layer = shape, layer
        kv_width = (shape.kv_heads or shape.heads) * shape.head_width
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, kv_width, bias=False)
        self.value = nn.Linear(shape.width, kv_width, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)
        self.attend: Callable[..., torch.Tensor] = attend

    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        q, k, v = (self._heads(linear(x)) for linear in (self.query, self.key, self.value))
        start = cache.filled if cache else 0
        if self.shape.positions == "rope":
            q, k = rotate(q, start), rotate(k, start)
        if cache:
            k, v = cache.extend(self.layer, k, v)
        bias = bias_of(self.shape, q.shape[2], k.shape[2], x.device)
        return self.out(self.attend(q, k, v, bias).transpose(1, 2).flatten(2))

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (-1, self.shape.head_width)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two projections with a GELU between."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        hidden = shape.hidden or 4 * shape.width
        self.up = nn.Linear(shape.width, hidden, bias=False)
        self.down = nn.Linear(hidden, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(functional.gelu(self.up(x)))


class Block(nn.Module):
    """Norm, mixer, norm, feed-forward, each with its residual. A mixer takes (x, cache)."""

    def __init__(self, shape: Shape, mixer: nn.Module, feed_forward: nn.Module) -> None:
        super().__init__()
        self.norm_mixer, self.norm_forward = (NORMS[shape.norm](shape.width) for _ in range(2))
        self.mixer, self.feed_forward = mixer, feed_forward

    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        x = x + self.mixer(self.norm_mixer(x), cache)
        return x + self.feed_forward(self.norm_forward(x))


class TinyGPT(nn.Module):
    """The model; `mixer(shape, layer)` and `feed_forward(shape)` build other layers in place of the usual."""

    def __init__(
        self,
        shape: Shape,
        mixer: Callable[[Shape, int], nn.Module] = Attention,
        feed_forward: Callable[[Shape], nn.Module] = FeedForward,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.shape = shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(shape.vocabulary, shape.width)
            self.places = nn.Embedding(shape.length, shape.width) if shape.positions == "learned" else None
            self.blocks = nn.ModuleList(
                Block(shape, mixer(shape, layer), feed_forward(shape)) for layer in range(shape.layers)
            )
            self.norm = NORMS[shape.norm](shape.width)
            self.head = nn.Linear(shape.width, shape.vocabulary, bias=False)
            self._initialise()
        if shape.tied:
            self.head.weight = self.embedding.weight

    def _initialise(self) -> None:
        """GPT-2's: 0.02 everywhere, less for what writes into the residual stream."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.shape.layers))

    def features(self, tokens: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """(batch, length) ids -> (batch, length, width) after the last norm."""
        start = cache.filled if cache else 0
        x = self.embedding(tokens)
        if self.places is not None:
            x = x + self.places(torch.arange(start, start + tokens.shape[1], device=tokens.device))
        if self.shape.positions == "sinusoidal":
            x = x + sinusoids(start, tokens.shape[1], self.shape.width, tokens.device).to(x.dtype)
        for block in self.blocks:
            x = block(x, cache)
        return self.norm(x)

    def forward(self, tokens: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        """(batch, length) ids -> (batch, length, vocabulary) logits; extends the cache if there is one."""
        return self.head(self.features(tokens, cache))

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy in nats of (batch, length + 1) ids, each predicted from those before it."""
        logits = self(tokens[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def size(self, embeddings: bool = True) -> int:
        """Parameters, shared ones once; without embeddings and output weights if so asked."""
        skipped = set() if embeddings else {"embedding.weight", "places.weight", "head.weight"}
        return sum(p.numel() for name, p in self.named_parameters() if name not in skipped)


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """Causal attention by PyTorch's fused kernels. A bias, if given, holds the mask too."""
    return functional.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=None if bias is None else bias.to(q.dtype),
        is_causal=bias is None and q.shape[2] > 1,
        enable_gqa=q.shape[1] != k.shape[1],
    )


def bias_of(shape: Shape, queries: int, keys: int, device: torch.device) -> torch.Tensor | None:
    """(heads or 1, queries, keys): causal mask, window and ALiBi, to add; None if `is_causal` says it all."""
    plain = shape.positions != "alibi" and (shape.window is None or keys <= shape.window)
    if plain and queries in (1, keys):
        return None
    back = torch.arange(keys - queries, keys, device=device)[:, None] - torch.arange(keys, device=device)
    unseen = (back < 0) if shape.window is None else (back < 0) | (back >= shape.window)
    bias = torch.zeros(1, queries, keys, device=device)
    if shape.positions == "alibi":
        bias = -back * alibi_slopes(shape.heads, device)[:, None, None]
    return bias.masked_fill(unseen, -math.inf)


def alibi_slopes(heads: int, device: torch.device) -> torch.Tensor:
    """(heads,) 2^(-8 i / heads). Source: arXiv:2108.12409, section 3."""
    return 2.0 ** (-8.0 * torch.arange(1, heads + 1, device=device) / heads)


def rotate(x: torch.Tensor, start: int = 0) -> torch.Tensor:
    """Rotary positions of (batch, heads, length, head width) from `start` on. Source: arXiv:2104.09864."""
    half = x.shape[-1] // 2
    rates = ROPE_BASE ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = torch.arange(start, start + x.shape[2], device=x.device, dtype=torch.float32)[:, None] * rates
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)


def sinusoids(start: int, length: int, width: int, device: torch.device) -> torch.Tensor:
    """(length, width). Source: arXiv:1706.03762, section 3.5."""
    rates = 10_000.0 ** (-torch.arange(0, width, 2, device=device) / width)
    angles = torch.arange(start, start + length, device=device)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
