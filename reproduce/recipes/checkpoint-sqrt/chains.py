"""The chains that are trained, with random weights: equal transformer blocks, and a residual net."""

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks.tinygpt import Attention, Block, FeedForward, Shape

STAGES = (64, 128, 256, 512)  # inner widths; outputs are four times as wide
CLASSES = 1000


def transformer(
    count: int, width: int, length: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> list[nn.Module]:
    """`count` blocks on (batch, length, width), heads 64 wide."""
    shape = Shape(count, width, max(1, width // 64), length)
    with device:
        blocks = [Block(shape, Attention(shape, layer), FeedForward(shape)) for layer in range(count)]
    return [block.to(dtype) for block in blocks]


def residual_net(blocks: tuple[int, ...], device: torch.device) -> list[nn.Module]:
    """Stem, bottlenecks (as many in each of the four stages as `blocks` says) and classifier, on images."""
    with device:
        layers: list[nn.Module] = [nn.Conv2d(3, STAGES[0], 7, stride=4, padding=3, bias=False)]
        inputs = STAGES[0]
        for stage, (inner, count) in enumerate(zip(STAGES, blocks, strict=True)):
            for index in range(count):
                layers.append(Bottleneck(inputs, inner, stride=2 if stage and not index else 1))
                inputs = 4 * inner
        return [*layers, Classifier(inputs)]


class Bottleneck(nn.Module):
    """Norm, rectifier and convolution (1 x 1, 3 x 3, 1 x 1) around a residual. Source: arXiv:1603.05027."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        widths = (inputs, inner, inner)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, track_running_stats=False) for width in widths)
        self.reduce = nn.Conv2d(inputs, inner, 1, bias=False)
        self.mix = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.expand = nn.Conv2d(inner, 4 * inner, 1, bias=False)
        changes = stride != 1 or inputs != 4 * inner
        self.shortcut = nn.Conv2d(inputs, 4 * inner, 1, stride=stride, bias=False) if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, inputs, height, width) to (batch, 4 inner, height / stride, width / stride)."""
        y = x
        for norm, convolution in zip(self.norms, (self.reduce, self.mix, self.expand), strict=True):
            y = convolution(functional.relu(norm(y), inplace=True))  # in place, as the paper's baseline does
        return y + (x if self.shortcut is None else self.shortcut(x))


class Classifier(nn.Module):
    """Norm, rectifier, mean over places, logits."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs, track_running_stats=False)
        self.logits = nn.Linear(inputs, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, inputs, height, width) to (batch, classes)."""
        return self.logits(functional.relu(self.norm(x), inplace=True).mean(dim=(2, 3)))


def parameters(layers: list[nn.Module]) -> list[nn.Parameter]:
    """Of all layers."""
    return [parameter for layer in layers for parameter in layer.parameters()]
