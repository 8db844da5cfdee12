"""Linformer computes what it should, and still learns: an identity, and masked bytes at k = n / 4."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context
from reproduce.recipes.intervals import mean_of

from . import layers
from .layers import SelfAttention, Sizes

ERROR = 1e-5  # relative, in fp32
MASK, MASKED = 256, 0.15
RATE = 1e-3
LEAST_LEARNT = 0.25  # of what full attention learns beyond the frequencies of bytes


def identity(context: Context) -> None:
    """Guards that E = F = 1 at k = n is attention to all tokens, fused or not, in pieces or at once."""
    sizes, length = Sizes(context["width"], context["heads"]), 128
    x = torch.randn(2, length, sizes.width, device=context.device)
    plain = SelfAttention(sizes, layers.eager).to(context.device)
    wanted = plain.double()(x.double())
    plain.float()
    for name in ("eager", "eager_in_pieces", "fused"):
        short = SelfAttention(sizes, getattr(layers, name), length, length).to(context.device)
        short.load_state_dict(plain.state_dict(), strict=False)
        short.shorten.data.copy_(torch.eye(length).expand(2, -1, -1))
        error = ((short(x).double() - wanted).norm() / wanted.norm()).item()
        detail = "Relative error, with identity projections in fp32, against full attention in fp64."
        context.guard(f"identity_{name}", error, ERROR, detail)


def learning_gap(context: Context) -> None:
    """Measures the loss that k = n / 4 costs on masked bytes; guards that it does learn."""
    text = Text.of(corpora.code(4_000_000 if context.full else 200_000), context.device)
    length, (depth, width) = context["text_length"], (4, 256) if context.full else (2, 32)
    shape = Shape(depth, width, width // 32, length, vocabulary=257, norm="layer", positions="learned")
    losses: dict[str, list[float]] = {"full": [], "short": []}
    for seed in range(context["seeds"]):
        context.progress(0.7 + 0.28 * seed / context["seeds"], f"learning masked bytes, seed {seed}")
        for name, rank in (("full", 0), ("short", length // 4)):
            model = TinyGPT(shape, _mixer(length, rank), seed=seed).to(context.device)
            losses[name].append(_train(context, model, text, length, seed))
    gaps = [short - full for short, full in zip(losses["short"], losses["full"], strict=True)]
    context.samples["masked_loss"] = losses
    context.measure("loss_gap", mean_of(gaps), detail={"losses": losses, "n": length, "k": length // 4})
    if context.full:
        start = entropy(text.validation)
        learnt = {name: start - max(values) for name, values in losses.items()}
        context.guard(
            "still_learns",
            LEAST_LEARNT * learnt["full"] - learnt["short"],
            0,
            f"Nats below the entropy of single bytes, {start:.2f}: {learnt['full']:.2f} with full attention, "
            f"{learnt['short']:.2f} with k = n / 4; a quarter as much is asked.",
        )


def _mixer(length: int, rank: int) -> Callable[[Shape, int], nn.Module]:
    return lambda shape, layer: SelfAttention(Sizes(shape.width, shape.heads), layers.fused, length, rank)


def _train(context: Context, model: TinyGPT, text: Text, length: int, seed: int) -> float:
    """The validation loss after training."""
    batch = 128 if context.full else 8

    def draw(step: int, generator: torch.Generator) -> torch.Tensor:
        return hide(text.draw(batch, length - 1, generator), generator)

    held_out = hide(text.held_out(512 if context.full else 32, length - 1), torch.Generator().manual_seed(1))
    plan = learning.Plan(context["steps"], RATE, seed, evaluations=1)
    learning.train(model, draw, plan, loss=masked_loss)
    return learning.validation_loss(model, held_out, parts=4, loss=masked_loss)


def hide(text: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """(batch, n) bytes to (batch, 2 n): 15 % of them masked, then all as they were."""
    hidden = (torch.rand(text.shape, generator=generator) < MASKED).to(text.device)
    return torch.cat((text.masked_fill(hidden, MASK), text), dim=1)


def masked_loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the masked bytes, in nats."""
    shown, wanted = batch.chunk(2, dim=1)
    lost = functional.cross_entropy(model(shown).float().mT, wanted, reduction="none")
    hidden = shown == MASK
    return (lost * hidden).sum() / hidden.sum()


def entropy(text: torch.Tensor) -> float:
    """Nats a byte if bytes came one by one, as often as in the text."""
    shares = torch.bincount(text.int()).double() / text.numel()
    return -sum(share * math.log(share) for share in shares.tolist() if share)
