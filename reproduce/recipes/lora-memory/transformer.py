"""A decoder whose query and value projections can carry low-rank adapters, in the shapes of known models."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

ADAPTED = ("q", "v")
MODES = ("base", "adapter", "merged")


@dataclass(frozen=True)
class Shape:
    """A decoder; `gated` means Llama's layers (SwiGLU, RMSNorm, rotary), else GPT's, positions learned."""

    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int = 2048
    gated: bool = False


SHAPES = {
    "tiny": Shape(2, 64, 2, 256, 512, 128),
    "gpt2-medium": Shape(24, 1024, 16, 4096, 50257, 1024),
    "gpt3-1.3b": Shape(24, 2048, 16, 8192, 50257),
    "llama-7b": Shape(32, 4096, 32, 11008, 32000, 0, gated=True),
    "gpt3-175b": Shape(96, 12288, 96, 49152, 50257),
}


class Projection(nn.Linear):
    """y = W x + b, W x + b + B A x, or with B A added into a copy of W, as `mode` says."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.mode, self.down, self.up, self.merged = "base", None, None, None

    def adapt(self, rank: int) -> None:
        """Adds A (random) and B (zero), so that nothing changes yet."""
        like = {"device": self.weight.device, "dtype": self.weight.dtype}
        self.down = nn.Parameter(torch.randn(rank, self.in_features, **like) * self.in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(self.out_features, rank, **like))

    def merge(self) -> None:
        """Computes W + B A in fp32 and rounds it once, as a deployment would."""
        with torch.no_grad():
            update = self.up.float() @ self.down.float()
            self.merged = (self.weight.float() + update).to(self.weight.dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., inputs) to (..., outputs)."""
        if self.mode == "merged" and self.merged is not None:
            return functional.linear(x, self.merged, self.bias)
        y = functional.linear(x, self.weight, self.bias)
        if self.mode == "adapter" and self.up is not None:
            y = y + functional.linear(functional.linear(x, self.down), self.up)
        return y


class Layer(nn.Module):
    """Attention and a feed-forward net, each after a norm and around a residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, bias = shape.heads, not shape.gated
        norm = nn.RMSNorm if shape.gated else nn.LayerNorm
        self.before_attention, self.before_mlp = norm(shape.width), norm(shape.width)
        self.q, self.k, self.v, self.out = (Projection(shape.width, shape.width, bias) for _ in range(4))
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False) if shape.gated else None
        self.up = nn.Linear(shape.width, shape.hidden, bias=bias)
        self.down = nn.Linear(shape.hidden, shape.width, bias=bias)

    def forward(self, x: torch.Tensor, turn: torch.Tensor | None) -> torch.Tensor:
        """(batch, n, width) to the same; `turn` holds the rotary cosines and sines, or is None."""
        batch, length, width = x.shape
        normed = self.before_attention(x)
        parts = [project(normed) for project in (self.q, self.k, self.v)]
        parts = [part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts]
        if turn is not None:
            parts[:2] = [rotate(part, turn) for part in parts[:2]]
        mixed = functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        normed = self.before_mlp(x)
        hidden = self.up(normed)
        hidden = functional.gelu(hidden) if self.gate is None else functional.silu(self.gate(normed)) * hidden
        return x + self.down(hidden)


class Decoder(nn.Module):
    """Token ids to logits; GPT's shapes tie the output to the embedding, Llama's do not."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.positions, shape.width) if shape.positions else None
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = (nn.RMSNorm if shape.gated else nn.LayerNorm)(shape.width)
        self.head = nn.Linear(shape.width, shape.vocabulary, bias=False) if shape.gated else None

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, n) ids to (batch, n, vocabulary) logits."""
        x, length = self.tokens(tokens), tokens.shape[1]
        turn = None
        if self.places is None:
            turn = rotary(length, self.shape.width // self.shape.heads, x.device).to(x.dtype)
        else:
            x = x + self.places.weight[:length]
        for layer in self.layers:
            x = layer(x, turn)
        return functional.linear(self.norm(x), self.tokens.weight if self.head is None else self.head.weight)

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """Mean loss in nats of predicting each next one of (batch, n + 1) ids."""
        logits = self(tokens[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def projections(self) -> list[Projection]:
        """Those that carry adapters: queries and values of every layer."""
        return [getattr(layer, name) for layer in self.layers for name in ADAPTED]

    def adapters(self) -> list[nn.Parameter]:
        """The parameters that LoRA trains."""
        return [part for projection in self.projections() for part in (projection.down, projection.up)]

    def base(self) -> list[nn.Parameter]:
        """The parameters that full fine-tuning trains."""
        added = {id(parameter) for parameter in self.adapters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in added]

    def switch(self, mode: str, train: list[nn.Parameter] | tuple[()] = ()) -> None:
        """Computes in that mode from now on, with gradients for the parameters of `train` only."""
        for projection in self.projections():
            projection.mode = mode
        chosen = {id(parameter) for parameter in train}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) in chosen)


def build(shape: Shape, device: torch.device, dtype: torch.dtype, rank: int, seed: int = 0) -> Decoder:
    """A decoder with random weights and adapters; on the device "meta" it takes no memory."""
    with torch.device("meta"):
        model = Decoder(shape).to(dtype)
        for projection in model.projections():
            projection.adapt(rank)
    if device.type == "meta":
        return model
    model = model.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill(name, parameter, generator)
        for projection in model.projections():
            projection.up.zero_()
    return model


def _fill(name: str, parameter: torch.Tensor, generator: torch.Generator) -> None:
    """Norms start at one, biases at zero, matrices small and random."""
    if parameter.dim() == 1:
        parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    else:
        parameter.normal_(0.0, 0.02, generator=generator)


def rotary(length: int, head_dim: int, device: torch.device) -> torch.Tensor:
    """(2, n, head_dim / 2): cosines and sines of the rotary embedding with base 10,000."""
    rates = 10_000 ** (-torch.arange(0, head_dim, 2, device=device) / head_dim)
    angles = torch.outer(torch.arange(length, device=device), rates)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotates the two halves of (batch, heads, n, head_dim) against each other."""
    first, second = x.chunk(2, dim=-1)
    cosine, sine = turn
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
