"""A decoder as a list of modules that run one after another, in the sizes of known models; random weights."""

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks.tinygpt import Attention, Block, FeedForward, Shape

SHAPES = {
    "tiny": Shape(layers=3, width=64, heads=2, length=32, vocabulary=256),
    "gpt2-xl": Shape(layers=48, width=1600, heads=25, length=1024, vocabulary=50257),
    "gpt2-xl-short": Shape(layers=12, width=1600, heads=25, length=1024, vocabulary=50257),
    "7b": Shape(layers=32, width=4096, heads=32, length=1024, vocabulary=32000),
}


class Head(nn.Module):
    """Norm, logits and mean cross-entropy in nats against `targets`, (batch, length) ids set beforehand."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(shape.width)
        self.logits = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.targets = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, width) to a scalar."""
        logits = self.logits(self.norm(x)).flatten(0, 1).float()
        return functional.cross_entropy(logits, self.targets.flatten())


def modules(shape: Shape, device: torch.device, dtype: torch.dtype, seed: int = 0) -> Iterator[nn.Module]:
    """Embedding, blocks and head, made one at a time; the same weights in every process."""
    generator = torch.Generator(device).manual_seed(seed)
    for module in _weightless(shape):
        module = module.to(dtype).to_empty(device=device)
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.dim() < 2:
                    parameter.fill_(1.0)  # norms
                else:
                    parameter.normal_(0.0, 0.02, generator=generator)
        yield module


def batch(shape: Shape, count: int, device: torch.device, seed: int) -> torch.Tensor:
    """(count, length + 1) random ids; another seed in every process gives each its own."""
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randint(shape.vocabulary, (count, shape.length + 1), device=device, generator=generator)


def size(shape: Shape) -> int:
    """Parameters."""
    return sum(parameter.numel() for module in _weightless(shape) for parameter in module.parameters())


def _weightless(shape: Shape) -> list[nn.Module]:
    """The modules on the meta device."""
    with torch.device("meta"):
        blocks = [Block(shape, Attention(shape, 0), FeedForward(shape)) for _ in range(shape.layers)]
        return [nn.Embedding(shape.vocabulary, shape.width), *blocks, Head(shape)]
