"""Small models trained at length L on Python source: perplexity of a byte at lengths up to 16 L."""

import math
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes import corpora
from reproduce.recipes.blocks.learning import Plan, autocast, train
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, mean_of

CORPUS_BYTES = {"smoke": 300_000, "full": 4_700_000}
SHAPES = {"smoke": Shape(1, 32, 2, 0, tied=False), "full": Shape(6, 384, 6, 0, tied=False)}
RATES = {"smoke": (3e-3,), "full": (7e-4, 1.5e-3, 3e-3)}  # that every arm searches
SEARCH = 3  # a search trains for this part of the steps, on a seed of its own
SEARCH_SEED = 1000
LONGEST = 16  # tests, in training lengths
ARMS = {  # positions, and training length in units of L
    "ALiBi at L": ("alibi", 1),
    "sinusoidal at L": ("sinusoidal", 1),
    "RoPE at L": ("rope", 1),
    "sinusoidal at 2 L": ("sinusoidal", 2),
}
TEST_TOKENS = {"smoke": 4096, "full": 131_072}


@dataclass(frozen=True)
class Judged:
    """Losses in nats a byte by test length: over all of each window, and over its last L / 4 bytes only."""

    whole: dict[int, float]
    end: dict[int, float]


def measure(context: Context) -> None:
    """Measures the ratios to a model trained at twice the length; charts perplexity over lengths."""
    corpus = corpora.code(CORPUS_BYTES[context.preset])
    context.data["text"] = corpus.record()
    text = Text.of(corpus, context.device)
    rates, found = {}, {}
    for number, name in enumerate(ARMS):
        context.progress(0.45 + 0.14 * number, f"{name}: its rate, then {context['seeds']} seeds")
        searched = _search(context, text, name)
        rates[name] = {f"{rate:g}": loss for rate, loss in searched.items()}
        best = min(searched, key=searched.__getitem__)
        models = (_train(context, text, name, best, seed) for seed in range(context["seeds"]))
        found[name] = [_judge(context, text, model) for model in models]
    context.samples["losses at the rates searched"] = rates
    for name, runs in found.items():
        context.samples[f"losses, {name}"] = [
            {str(at): loss for at, loss in run.whole.items()} for run in runs
        ]
    length, detail = context["length"], {"searched": rates}
    for measure, kind in (("ppl_extrapolated", "whole"), ("ppl_extrapolated_end", "end")):
        ratio = _ratio(found["ALiBi at L"], found["sinusoidal at 2 L"], 2 * length, 2 * length, kind)
        context.measure(measure, ratio, detail=detail)
    for measure, name in (("sinusoidal_decay", "sinusoidal at L"), ("rope_decay", "RoPE at L")):
        context.measure(measure, _ratio(found[name], found[name], 2 * length, length, "whole"))
    guard_learned(context, found)
    _chart(context, found, "whole", "Perplexity by test length, windows side by side")
    _chart(context, found, "end", "Perplexity of the last bytes of each window, all with a long context")


def made(shape: Shape, seed: int) -> TinyGPT:
    """A TinyGPT that starts as the paper's did: bytes as large as the sinusoids that are added to them.

    From GPT-2's start, 0.02, sinusoids are 35 times the bytes: the model then sees places, not text.
    Source: arXiv:1706.03762, section 3.4, vectors times the root of the width; Xavier's for all products.
    """
    model = TinyGPT(shape, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        nn.init.normal_(model.embedding.weight)
        for part in model.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
    return model


def _search(context: Context, text: Text, name: str) -> dict[float, float]:
    """Loss at the arm's own length by rate, after a part of the steps with a schedule of its own."""
    steps, own = max(1, context["steps"] // SEARCH), context["length"] * ARMS[name][1]
    return {
        rate: _losses(context, _train(context, text, name, rate, SEARCH_SEED, steps), text, own)[0]
        for rate in RATES[context.preset]
    }


def _train(
    context: Context, text: Text, name: str, rate: float, seed: int, steps: int | None = None
) -> TinyGPT:
    positions, factor = ARMS[name]
    length, count = context["length"] * factor, context["batch"] // factor
    model = made(replace(SHAPES[context.preset], positions=positions), seed).to(context.device)
    plan = Plan(steps or context["steps"], rate, seed, evaluations=1)
    train(model, lambda step, generator: text.draw(count, length, generator), plan)
    return model


def _judge(context: Context, text: Text, model: TinyGPT) -> Judged:
    lengths = [context["length"] * 2**power for power in range(LONGEST.bit_length())]
    both = {at: _losses(context, model, text, at) for at in lengths}
    return Judged({at: pair[0] for at, pair in both.items()}, {at: pair[1] for at, pair in both.items()})


@torch.no_grad()
def _losses(context: Context, model: TinyGPT, text: Text, length: int) -> tuple[float, float]:
    """Mean loss of windows that do not overlap, and of the last bytes of each, a quarter of L."""
    windows = text.held_out(TEST_TOKENS[context.preset] // length, length)
    whole, end, last = 0.0, 0.0, context["length"] // 4
    for piece in windows.chunk(max(1, len(windows) * length // 32_768)):
        with autocast(context.device):
            logits = model(piece[:, :-1]).float()
        each = functional.cross_entropy(logits.mT, piece[:, 1:], reduction="none")
        whole += each.mean().item() * len(piece)
        end += each[:, -last:].mean().item() * len(piece)
    return whole / len(windows), end / len(windows)


def _ratio(above: list[Judged], below: list[Judged], at: int, against: int, kind: str) -> Interval:
    """Ratio of perplexities, seed by seed."""
    pairs = zip(above, below, strict=True)
    return mean_of([math.exp(getattr(a, kind)[at] - getattr(b, kind)[against]) for a, b in pairs])


def guard_learned(context: Context, found: dict[str, list[Judged]]) -> None:
    """Guards that every arm learnt, judged at its own length; a model that did not would say nothing."""
    if context.full:  # a few steps of the small preset teach nothing
        own = {name: context["length"] * ARMS[name][1] for name in found}
        losses = {name: mean_of([run.whole[own[name]] for run in runs]).value for name, runs in found.items()}
        worst = max(losses, key=losses.__getitem__)
        detail = f"Loss of {worst} at its own length, the highest, nats a byte; untrained 5.5."
        context.guard("learned", losses[worst], 2.0, detail)


def _chart(context: Context, found: dict[str, list[Judged]], kind: str, title: str) -> None:
    lines = []
    for name, runs in found.items():
        lengths = list(runs[0].whole)
        values = [mean_of([math.exp(getattr(run, kind)[at]) for run in runs]) for at in lengths]
        lines.append(curve(name, lengths, values))
    axes = ("Test length", "bytes", True), ("Perplexity of a byte", "", True)
    context.chart(f"perplexity_{kind}", title, *axes, lines)
