"""The layers do what they are for: right against 64-bit arithmetic, and trainable on a copying task."""

import copy

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks import learning
from reproduce.recipes.context import Context

from .layers import Recurrent, SelfAttention

ERROR = 1e-5  # relative, of fp32 against fp64: RECIPES, section 12
LEARNT = 0.99
LAG, SYMBOLS = 2, 8


def correct(context: Context) -> None:
    """Guards both layers' outputs in fp32 against fp64, and the LSTM against its steps written out."""
    width, device = context["width"], context.device
    x = torch.randn(2, 64, width, device=device)
    recurrent = Recurrent(width).to(device)
    for name, layer in (
        ("attention_error", SelfAttention(width, context["heads"]).to(device)),
        ("lstm_error", recurrent),
    ):
        exact = copy.deepcopy(layer).double()(x.double())
        with torch.backends.cudnn.flags(allow_tf32=False):  # cuDNN's LSTM would round its inputs to 10 bits
            found = layer(x)
        context.guard(name, _error(found, exact), ERROR, "Relative error in fp32 against fp64.")
    written_out = recurrent.double().step_by_step(x.double())
    context.guard(
        "lstm_written_out",
        _error(recurrent(x.double()), written_out),
        1e-10,
        "The library's LSTM against its steps written out, whose sequential operations are counted, in fp64.",
    )


class Copier(nn.Module):
    """Symbols in, one layer, symbols out: the target at each place is the symbol LAG places before it."""

    def __init__(self, layer: nn.Module, width: int, length: int) -> None:
        super().__init__()
        self.symbols, self.places = nn.Embedding(SYMBOLS, width), nn.Embedding(length, width)
        self.layer, self.out = layer, nn.Linear(width, SYMBOLS)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        """(batch, n) symbols to (batch, n, SYMBOLS) logits."""
        return self.out(self.layer(self.symbols(symbols) + self.places.weight))

    def loss(self, symbols: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy over the places that have a target."""
        logits = self(symbols)[:, LAG:]
        return functional.cross_entropy(logits.flatten(0, 1), symbols[:, :-LAG].flatten())


def trainable(context: Context) -> None:
    """Guards that both layers learn to copy, so that what is timed is able to learn."""
    width, length, device = context["width"], context["copy_length"], context.device
    for name, layer in (
        ("attention", SelfAttention(width, context["heads"])),
        ("lstm", Recurrent(width)),
    ):
        model = Copier(layer, width, length).to(device)

        def draw(step: int, generator: torch.Generator) -> torch.Tensor:
            return torch.randint(SYMBOLS, (64, length), generator=generator).to(device)

        plan = learning.Plan(context["copy_steps"], 3e-3, weight_decay=0.0, half=False, evaluations=1)
        learning.train(model, draw, plan, graphed=False)
        share = _right(model, draw(0, torch.Generator().manual_seed(1)))
        context.guard(
            f"{name}_learns_to_copy",
            1 - share,
            1 - LEARNT,
            f"Share of wrong symbols at n = {length} after {plan.steps} steps.",
        )


def _right(model: Copier, symbols: torch.Tensor) -> float:
    with torch.no_grad():
        found = model(symbols).argmax(-1)
    return (found[:, LAG:] == symbols[:, :-LAG]).float().mean().item()


def _error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found.double() - exact).norm() / exact.norm()).item()
