"""C = 6 N D: training FLOP counted as they are executed, for each parameter and token."""

import torch
from torch import nn

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.tinygpt import Attention, Shape, TinyGPT
from reproduce.recipes.context import Context, level

PAPER = Shape(layers=48, width=1600, heads=25, length=1024, positions="learned")
WIDTHS = (64, 128, 256, 512, 1024, 1600, 2048, 4288, 12288)
CLAIMED = 6.0
FORMULA = 0.001


def explicit(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
    """Attention as two products, which the counter sees wherever it runs; masks cost nothing."""
    return torch.softmax(q @ k.mT, dim=-1) @ v


def nothing(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
    """No products, but the same gradients are asked for."""
    return q + k + v


def measure(context: Context) -> None:
    """Measures flop_ratio at the paper's largest shape; guards its formula; charts the ratio over widths."""
    layers = PAPER.layers if context.full else 2
    shape = Shape(**{**PAPER.__dict__, "layers": layers})
    causal, square = per_parameter(shape)
    expected = 6 * (1 + shape.length / 12 / shape.width)
    context.guard(
        "table_1",
        abs(causal / expected - 1),
        FORMULA,
        "Counted FLOP, causal attention, against 2 N + 2 layers context width a token, three times.",
    )
    detail = {"with_all_of_the_attention_square": square, "by_table_1": expected}
    context.measure("flop_ratio", causal, detail=detail)
    found = [per_parameter(Shape(2, width, 1, PAPER.length, positions="learned")) for width in WIDTHS]
    context.chart(
        "flop",
        "Training FLOP for each parameter and token at a context of 1024",
        ("Width", "", True),
        ("FLOP per parameter and token", "", False),
        [
            {"label": "causal attention", "x": list(WIDTHS), "y": [pair[0] for pair in found]},
            {"label": "all of the attention square", "x": list(WIDTHS), "y": [pair[1] for pair in found]},
            level("claimed by the paper", WIDTHS, CLAIMED),
        ],
    )


def per_parameter(shape: Shape) -> tuple[float, float]:
    """Training FLOP for each non-embedding matrix parameter and token: causal attention, and the square.

    Counted on the meta device, logits left out as in the paper; the causal half is (n + 1) / 2n of a square.
    """
    square = _count(shape, explicit)
    without = _count(shape, nothing)
    share = (shape.length + 1) / (2 * shape.length)
    scale = shape.length * 12 * shape.layers * shape.width**2
    return (without + share * (square - without)) / scale, square / scale


def _count(shape: Shape, attend: object) -> int:
    def mixer(shape: Shape, layer: int) -> nn.Module:
        made = Attention(shape, layer)
        made.attend = attend
        return made

    model = counting.on_meta(lambda: TinyGPT(shape, mixer))
    ids = torch.zeros(1, shape.length, dtype=torch.long, device="meta")
    return counting.flop(lambda: model.features(ids).sum().backward())
