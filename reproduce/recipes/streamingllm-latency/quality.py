"""Small byte models far beyond their cache: perplexity with a plain window, with sinks, and recomputed.

One kind learns on text alone. The other always sees a 0 first, for which each head's scores are raised by a
constant: a sink, as large models make by themselves.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.nn import functional

from reproduce.recipes import corpora
from reproduce.recipes.blocks import tinygpt
from reproduce.recipes.blocks.learning import Plan, train
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context
from reproduce.recipes.intervals import mean_of

from . import streaming

SHAPES = {"smoke": Shape(2, 32, 2, 0), "full": Shape(4, 256, 4, 0)}
CORPUS_BYTES = {"smoke": 200_000, "full": 4_700_000}
SINKS = 4
LIMIT = 0.02  # RECIPES
WORTH = 0.3  # share of attention on the first token from which on a model has a sink (RECIPES)
LIFTS = {"text": 0.0, "planted": 8.0}  # added to the first token's scores


@dataclass
class Lifted:
    """Causal attention whose scores of the first token are raised, as a model with a sink learns it."""

    lift: float

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """All are (batch, heads, n, d)."""
        places = torch.arange(q.shape[2], device=q.device)
        raised = (places == 0) * self.lift
        mask = torch.where(places[:, None] >= places, raised, -torch.inf)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))


@dataclass
class Streamed:
    """Attention as a cache of `sinks` first tokens and the latest others gives it, for all tokens at once."""

    window: int
    sinks: int
    lift: float = 0.0
    masses: list[float] = field(default_factory=list)  # attention on the first token, layer by layer

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """All are (batch, heads, n, d), q and k rotated by their true positions."""
        place = torch.arange(q.shape[2], device=q.device)
        back = place[:, None] - place
        seen = (back >= 0) & ((back < self.window - self.sinks) | (place < self.sinks))
        scores = q @ k.transpose(-2, -1)
        if self.sinks:  # they are as far as the cache is long, at most
            nearer = place.clamp(max=self.window - 1) - place
            moved = streaming.rotate(q, streaming.turns(nearer, q.shape[-1]))
            scores[..., : self.sinks] = moved @ k[:, :, : self.sinks].transpose(-2, -1)
        scores = scores * q.shape[-1] ** -0.5
        scores[..., 0] += self.lift
        weights = torch.softmax(scores.masked_fill(~seen, -torch.inf), dim=-1)
        self.masses.append(weights[:, :, self.window // 2 :, 0].mean().item())
        return weights @ v


def measure(context: Context) -> None:
    """Measures perplexities relative to recomputation, with and without sinks, for both kinds of model."""
    corpus = corpora.code(CORPUS_BYTES[context.preset])
    context.data["text"] = corpus.record()
    text = Text.of(corpus, context.device)
    for number, kind in enumerate(LIFTS):
        context.progress(0.6 + 0.2 * number, f"small models with {kind} first tokens")
        found = [_judge(context, text, kind, seed) for seed in range(context["seeds"])]
        context.samples[f"losses, {kind}"] = found
        mass = mean_of([run["mass"] for run in found])
        for arm in ("window", "sinks"):
            ratio = mean_of([math.exp(run[arm] - run["recomputed"]) for run in found])
            detail = {
                "first_token_attention": mass.value,
                "has_a_sink": mass.value > WORTH,
                "ppl_recomputed": mean_of([math.exp(run["recomputed"]) for run in found]).value,
            }
            context.measure(f"{kind}_{arm}", ratio, detail=detail)
            if kind == "planted" and arm == "sinks":
                guard(context, ratio.value, mass.value)


def guard(context: Context, ratio: float, mass: float) -> None:
    """Guards that sinks are there and lose nothing: the small preset teaches too little to ask."""
    if context.full:
        context.guard(
            "planted_is_a_sink",
            WORTH / mass,
            1.0,
            f"{WORTH:g} over the planted token's share of attention: below it there is no sink to lose.",
        )
        context.guard(
            "sinks_lose_nothing", ratio - 1, LIMIT, "Perplexity over that of recomputation, minus one."
        )


def _judge(context: Context, text: Text, kind: str, seed: int) -> dict[str, float]:
    """Losses in nats a byte over the bytes beyond the cache, and the attention on the first token."""
    model = TinyGPT(SHAPES[context.preset], seed=seed).to(context.device)
    window, steps, planted = context["window"], context["steps"], kind == "planted"
    _attend_by(model, Lifted(LIFTS[kind]) if planted else tinygpt.attend)

    def draw(step: int, generator: torch.Generator) -> torch.Tensor:
        return _begun(text.draw(context["batch"], 2 * window, generator), planted)

    train(model, draw, Plan(steps, rate=1e-3 if context.full else 3e-3, seed=seed, evaluations=1))
    ids = _begun(text.held_out(context["sequences"], 8 * window), planted)
    found, sinks = {}, Streamed(window, SINKS, LIFTS[kind])
    for name, attend in (("window", Streamed(window, 0, LIFTS[kind])), ("sinks", sinks)):
        found[name] = _streamed(model, attend, ids, window)
    found["mass"] = sum(sinks.masses) / len(sinks.masses)
    found["recomputed"] = _recomputed(model, ids, window, planted)
    return found


def _attend_by(model: TinyGPT, attend: Callable[..., torch.Tensor]) -> None:
    for block in model.blocks:
        block.mixer.attend = attend


def _begun(ids: torch.Tensor, planted: bool) -> torch.Tensor:
    """With token 0 at the start, if it is planted."""
    if planted:
        ids[:, 0] = 0
    return ids


@torch.no_grad()
def _streamed(model: TinyGPT, attend: Streamed, ids: torch.Tensor, window: int) -> float:
    usual = model.blocks[0].mixer.attend
    _attend_by(model, attend)
    losses = [
        functional.cross_entropy(model(piece[:, :-1])[:, window:].mT, piece[:, window + 1 :])
        for piece in ids.split(4)
    ]
    _attend_by(model, usual)
    return torch.stack(losses).mean().item()


@torch.no_grad()
def _recomputed(model: TinyGPT, ids: torch.Tensor, window: int, planted: bool) -> float:
    """Each byte from the bytes of the window before it, as a sequence of its own."""
    windows = ids[:, :-1].unfold(1, window, 1)[:, 1:].flatten(0, 1)
    targets = ids[:, window + 1 :].flatten()
    losses = [
        functional.cross_entropy(model(_begun(some.clone(), planted))[:, -1], wanted, reduction="sum")
        for some, wanted in zip(windows.split(2048), targets.split(2048), strict=True)
    ]
    return (torch.stack(losses).sum() / len(targets)).item()
