"""Linformer computes what it should, and still learns: an identity, and masked bytes at k = n / 4."""

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT, sinusoids
from reproduce.recipes.context import Context
from reproduce.recipes.intervals import mean_of

from . import layers
from .layers import SelfAttention, Sizes

ERROR = 1e-5  # relative, in fp32
MASK, MASKED = 256, 0.15
RATES = (1e-3, 2e-3)  # that both models search
SEARCH = 3  # a search trains for this part of the steps, on a seed of its own
SEARCH_SEED = 1000
TOKENS, PLACES = 0.2, 0.3  # deviation of the bytes' vectors; size of the sinusoids that positions start from
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
    length, losses, rates = context["text_length"], {}, {}
    for index, (name, rank) in enumerate((("full", 0), ("short", length // 4))):
        context.progress(0.7 + 0.14 * index, f"learning masked bytes, k = {rank or length}")
        tried = {rate: _train(context, text, rank, rate, SEARCH_SEED) for rate in RATES}
        best = min(tried, key=tried.__getitem__)
        losses[name] = [_train(context, text, rank, best, seed) for seed in range(context["seeds"])]
        rates[name] = {"rate": best, "tried": {f"{rate:g}": loss for rate, loss in tried.items()}}
    gaps = [short - full for short, full in zip(losses["short"], losses["full"], strict=True)]
    context.samples["masked_loss"] = losses
    context.measure(
        "loss_gap", mean_of(gaps), detail={"losses": losses, "n": length, "k": length // 4} | rates
    )
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


def made(shape: Shape, rank: int, seed: int) -> TinyGPT:
    """A model that starts by each matrix's inputs, positions as sinusoids and projections as mean pooling.

    From random projections, which mix all places, attention learns where things stand only after long:
    on a small scale they cost 0.7 nats after 1000 steps, and pooling 0.2. Source: arXiv:2006.04768,
    section 4, general projections.
    """
    model = TinyGPT(shape, _mixer(shape.length, rank), seed=seed)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, weight in model.named_parameters():
            if "embedding" in name:
                weight.normal_(std=TOKENS)
            elif "places" in name:
                weight.copy_(PLACES * sinusoids(0, *weight.shape, weight.device))
            elif name.endswith("shorten"):
                weight.copy_(pooling(rank, shape.length) + 0.02 * torch.randn(weight.shape))
            elif weight.dim() == 2:
                writes = name.endswith(("out.weight", "down.weight"))
                weight.normal_(std=(weight.shape[1] * (2 * shape.layers if writes else 1)) ** -0.5)
    return model


def pooling(rank: int, length: int) -> torch.Tensor:
    """(rank, length): each row the mean of its own neighbours, scaled to a norm of one."""
    kernel = length // rank
    return torch.eye(rank).repeat_interleave(kernel, dim=1) * kernel**-0.5


def _mixer(length: int, rank: int) -> Callable[[Shape, int], nn.Module]:
    return lambda shape, layer: SelfAttention(Sizes(shape.width, shape.heads), layers.fused, length, rank)


def _train(context: Context, text: Text, rank: int, rate: float, seed: int) -> float:
    """The validation loss after training."""
    length, (depth, width) = context["text_length"], (4, 256) if context.full else (2, 32)
    shape = Shape(
        depth, width, width // 32, length, vocabulary=257, norm="layer", positions="learned", tied=False
    )
    model, batch = made(shape, rank, seed).to(context.device), 128 if context.full else 8

    def draw(step: int, generator: torch.Generator) -> torch.Tensor:
        return hide(text.draw(batch, length - 1, generator), generator)

    held_out = hide(text.held_out(512 if context.full else 32, length - 1), torch.Generator().manual_seed(1))
    steps = max(1, context["steps"] // (SEARCH if seed == SEARCH_SEED else 1))
    plan = learning.Plan(steps, rate, seed, evaluations=1)
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
