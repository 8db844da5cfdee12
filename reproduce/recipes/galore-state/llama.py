"""The Llama shapes of the paper's Table 5, with gated feed-forward layers; random weights."""

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks.tinygpt import Attention, Shape, TinyGPT


def _shape(layers: int, width: int, heads: int, hidden: int) -> Shape:
    return Shape(layers, width, heads, 256, vocabulary=32000, hidden=hidden, tied=False)


SHAPES = {
    "tiny": Shape(2, 128, 2, 64, vocabulary=512, hidden=344, tied=False),
    "60m": _shape(8, 512, 8, 1376),
    "130m": _shape(12, 768, 12, 2048),
    "350m": _shape(24, 1024, 16, 2736),
    "1b": _shape(24, 2048, 32, 5461),
    "7b": _shape(32, 4096, 32, 11008),
}
RANKS = {"tiny": 32, "60m": 128, "130m": 256, "350m": 256, "1b": 512, "7b": 1024}


class Gated(nn.Module):
    """down(silu(gate x) * up x)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) to the same."""
        return self.down(functional.silu(self.gate(x)) * self.up(x))


def build(name: str, device: torch.device) -> TinyGPT:
    """A model in bf16; on the device "meta" it takes no memory."""
    with torch.device("meta"):
        model = TinyGPT(SHAPES[name], Attention, Gated).to(torch.bfloat16)
    if device.type == "meta":
        return model
    model = model.to_empty(device=device)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, 0.02, generator=generator)
    return model
