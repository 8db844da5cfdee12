"""Known models' shapes with random weights: encoders and decoders whose speed and bytes need no training.

Sources: each model's paper and published configuration; the counts in the tests are those published.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks.parts import Attend, Attention, Experts, FeedForward, causal, scaled_dot, turns

VERSION = 1
NORMS = {"rms": nn.RMSNorm, "layer": nn.LayerNorm}


@dataclass(frozen=True)
class EncoderShape:
    """BERT and its kin: norm after each residual, learned positions, GELU."""

    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int = 30_522
    positions: int = 512
    types: int = 2  # token types; 0: none
    pooler: bool = True
    embedding: int | None = None  # ALBERT: width of the embeddings, projected to `width`
    shared: bool = False  # ALBERT: one layer, applied `layers` times


@dataclass(frozen=True)
class DecoderShape:
    """GPT, OPT, Llama, Mixtral and T5's decoder: norm before each part, causal."""

    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int = 0  # learned; 0: rotary
    kv_heads: int | None = None
    head_width: int = 128
    norm: str = "rms"  # or "layer"
    activation: str = "silu"
    gated: bool = True
    bias: bool = False
    tied: bool = False  # output weights are the embedding's
    experts: int = 0  # feed-forward nets to choose `chosen` of; 0: one for all tokens
    chosen: int = 2
    cross: bool = False  # T5: each layer also attends to an encoder's output


@dataclass(frozen=True)
class CacheShape:
    """What a model keeps for each token: `elements` numbers in each of `layers`."""

    layers: int
    elements: int

    def bytes_per_token(self, bits: int = 16) -> float:
        """Bytes for one token over all layers."""
        return self.layers * self.elements * bits / 8


ENCODERS = {
    "tiny": EncoderShape(4, 64, 2, 256, vocabulary=1024, positions=128),
    "tiny-albert": EncoderShape(4, 64, 2, 256, vocabulary=1024, positions=128, embedding=16, shared=True),
    "bert-base": EncoderShape(12, 768, 12, 3072),
    "bert-large": EncoderShape(24, 1024, 16, 4096),
    "distilbert": EncoderShape(6, 768, 12, 3072, types=0, pooler=False),
    "minilm-6x768": EncoderShape(6, 768, 12, 3072),
    "minilm-6x384": EncoderShape(6, 384, 12, 1536),
    "albert-large": EncoderShape(24, 1024, 16, 4096, vocabulary=30_000, embedding=128, shared=True),
}
_GPT = {"norm": "layer", "activation": "gelu", "gated": False, "bias": True, "tied": True}
_OPT = _GPT | {"activation": "relu", "vocabulary": 50_272, "positions": 2050}
DECODERS = {
    "tiny": DecoderShape(2, 64, 2, 176, 512, head_width=32),
    "gpt2-medium": DecoderShape(24, 1024, 16, 4096, 50_257, 1024, head_width=64, **_GPT),
    "gpt3-175b": DecoderShape(96, 12_288, 96, 49_152, 50_257, 2048, **_GPT),
    "opt-13b": DecoderShape(40, 5120, 40, 20_480, **_OPT),
    "opt-30b": DecoderShape(48, 7168, 56, 28_672, **_OPT),
    "llama-7b": DecoderShape(32, 4096, 32, 11_008, 32_000),
    "mixtral-8x7b": DecoderShape(32, 4096, 32, 14_336, 32_000, kv_heads=8, experts=8),
    "deepseek-67b": DecoderShape(95, 8192, 64, 22_016, 102_400, kv_heads=8),
    # Without T5's relative position biases: 32 buckets for each of 64 heads, shared by all layers.
    "t5-xxl": DecoderShape(24, 4096, 64, 10_240, 32_128, head_width=64, activation="gelu", cross=True),
}
CACHES = {
    "deepseek-67b": CacheShape(95, 2 * 8 * 128),
    "deepseek-67b-mha": CacheShape(95, 2 * 64 * 128),  # as if no heads were grouped
    "deepseek-v2": CacheShape(60, 512 + 64),  # a latent vector, and the rotary part of the key
}


class EncoderLayer(nn.Module):
    """Attention and a feed-forward net, each with its residual and a norm after it."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.attention = Attention(
            shape.width, shape.heads, shape.heads, shape.width // shape.heads, bias=True
        )
        self.feed_forward = FeedForward(shape.width, shape.hidden, "gelu", gated=False, bias=True)
        self.norm_attention, self.norm_forward = (nn.LayerNorm(shape.width) for _ in range(2))

    def forward(self, x: torch.Tensor, attend: Attend) -> torch.Tensor:
        x = self.norm_attention(x + self.attention(x, attend))
        return self.norm_forward(x + self.feed_forward(x))


class Encoder(nn.Module):
    """Token ids to features; the pooler is there if the shape has one."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape, inner = shape, shape.embedding or shape.width
        self.tokens, self.places = (nn.Embedding(size, inner) for size in (shape.vocabulary, shape.positions))
        self.types = nn.Embedding(shape.types, inner) if shape.types else None
        self.norm = nn.LayerNorm(inner)
        self.widen = nn.Linear(inner, shape.width) if shape.embedding else None
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(1 if shape.shared else shape.layers))
        self.pooler = nn.Linear(shape.width, shape.width) if shape.pooler else None

    def forward(
        self, tokens: torch.Tensor, attend: Attend | None = None, places: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(batch, n) ids to (batch, n, width). `places` are ids of positions, by default 0, 1, 2, ..."""
        x = self.tokens(tokens)
        x = x + (self.places.weight[: tokens.shape[1]] if places is None else self.places(places))
        if self.types is not None:
            x = x + self.types.weight[0]
        x = self.norm(x)
        if self.widen is not None:
            x = self.widen(x)
        for number in range(self.shape.layers):
            x = self.layers[0 if self.shape.shared else number](x, attend or scaled_dot)
        return x

    def pooled(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, n, width) to (batch, width): the first token's, through the pooler if there is one."""
        first = features[:, 0]
        return first if self.pooler is None else torch.tanh(self.pooler(first))


class Pretraining(nn.Module):
    """An encoder with BERT's two heads: words (weights of the embedding) and a pair of sentences."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        inner = shape.embedding or shape.width
        self.encoder = Encoder(shape)
        self.transform, self.norm = nn.Linear(shape.width, inner), nn.LayerNorm(inner)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        self.pair = nn.Linear(shape.width, 2)

    def words(self, features: torch.Tensor) -> torch.Tensor:
        """(..., width) to (..., vocabulary) logits."""
        x = self.norm(functional.gelu(self.transform(features)))
        return functional.linear(x, self.encoder.tokens.weight, self.bias)


class DecoderLayer(nn.Module):
    """Attention, attention to an encoder if the shape has it, and a feed-forward net, each after a norm."""

    def __init__(self, shape: DecoderShape, width: int) -> None:
        super().__init__()
        sizes = (width, shape.heads, shape.kv_heads or shape.heads, shape.head_width, shape.bias)
        self.norm_attention, self.norm_forward = (NORMS[shape.norm](width) for _ in range(2))
        self.attention = Attention(*sizes)
        self.norm_cross = NORMS[shape.norm](width) if shape.cross else None
        self.cross = Attention(*sizes) if shape.cross else None
        nets = [_feed_forward(shape) for _ in range(shape.experts or 1)]
        self.feed_forward = Experts(width, nets, shape.chosen) if shape.experts else nets[0]

    def forward(
        self, x: torch.Tensor, attend: Attend, turn: torch.Tensor | None, memory: torch.Tensor | None
    ) -> torch.Tensor:
        x = x + self.attention(self.norm_attention(x), attend, turn)
        if self.cross is not None and memory is not None:
            x = x + self.cross.over(self.norm_cross(x), memory)
        return x + self.feed_forward(self.norm_forward(x))


class Decoder(nn.Module):
    """Token ids to logits; `pruned` gives single layers other heads and hidden widths."""

    def __init__(self, shape: DecoderShape, pruned: Mapping[int, DecoderShape] | None = None) -> None:
        super().__init__()
        self.shape, shapes = shape, [(pruned or {}).get(layer, shape) for layer in range(shape.layers)]
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.positions, shape.width) if shape.positions else None
        self.layers = nn.ModuleList(DecoderLayer(layer, shape.width) for layer in shapes)
        self.norm = NORMS[shape.norm](shape.width)
        self.head = None if shape.tied else nn.Linear(shape.width, shape.vocabulary, bias=False)

    def features(
        self, tokens: torch.Tensor, attend: Attend | None = None, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(batch, n) ids to (batch, n, width) after the last norm; `memory` is an encoder's output."""
        x, turn = self.tokens(tokens), None
        if self.places is not None:
            x = x + self.places.weight[: tokens.shape[1]]
        else:
            turn = turns(tokens.shape[1], self.shape.head_width, x.device).to(x.dtype)
        for layer in self.layers:
            x = layer(x, attend or causal, turn, memory)
        return self.norm(x)

    def forward(
        self, tokens: torch.Tensor, attend: Attend | None = None, memory: torch.Tensor | None = None
    ) -> torch.Tensor:
        """(batch, n) ids to (batch, n, vocabulary) logits."""
        weight = self.tokens.weight if self.head is None else self.head.weight
        return functional.linear(self.features(tokens, attend, memory), weight)


def materialise(
    build: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype, seed: int = 0
) -> nn.Module:
    """The module that `build` describes, for inference or training, with random weights made on `device`.

    Norms start at one, biases at zero, matrices at N(0, 0.02). On the device "meta" it takes no memory.
    """
    with torch.device("meta"):
        module = build().to(dtype)
    if device.type == "meta":
        return module
    module = module.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                parameter.normal_(0.0, 0.02, generator=generator)
    return module


def _feed_forward(shape: DecoderShape) -> FeedForward:
    return FeedForward(shape.width, shape.hidden, shape.activation, shape.gated, shape.bias)
