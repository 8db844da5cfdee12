"""Small models trained at length L on Python source: perplexity of a byte at lengths up to 16 L."""

import math
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from reproduce.recipes import corpora
from reproduce.recipes.blocks.learning import Plan, autocast, train
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, mean_of

CORPUS_BYTES = {"smoke": 300_000, "full": 4_700_000}
SHAPES = {"smoke": Shape(1, 32, 2, 0), "full": Shape(6, 384, 6, 0)}
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
    found: dict[str, list[Judged]] = {name: [] for name in ARMS}
    jobs = [(name, seed) for seed in range(context["seeds"]) for name in ARMS]
    for number, (name, seed) in enumerate(jobs):
        context.progress(0.45 + 0.55 * number / len(jobs), f"{name}, seed {seed}")
        found[name].append(_train(context, text, name, seed))
    for name, runs in found.items():
        context.samples[f"losses, {name}"] = [
            {str(at): loss for at, loss in run.whole.items()} for run in runs
        ]
    length = context["length"]
    for measure, kind in (("ppl_extrapolated", "whole"), ("ppl_extrapolated_end", "end")):
        ratio = _ratio(found["ALiBi at L"], found["sinusoidal at 2 L"], 2 * length, 2 * length, kind)
        context.measure(measure, ratio)
    for measure, name in (("sinusoidal_decay", "sinusoidal at L"), ("rope_decay", "RoPE at L")):
        context.measure(measure, _ratio(found[name], found[name], 2 * length, length, "whole"))
    _guard(context, found)
    _chart(context, found, "whole", "Perplexity by test length, windows side by side")
    _chart(context, found, "end", "Perplexity of the last bytes of each window, all with a long context")


def _train(context: Context, text: Text, name: str, seed: int) -> Judged:
    positions, factor = ARMS[name]
    length = context["length"] * factor
    model = TinyGPT(replace(SHAPES[context.preset], positions=positions), seed=seed).to(context.device)
    count = context["batch"] // factor
    plan = Plan(context["steps"], rate=1e-3 if context.full else 3e-3, seed=seed, evaluations=1)
    train(model, lambda step, generator: text.draw(count, length, generator), plan)
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


def _guard(context: Context, found: dict[str, list[Judged]]) -> None:
    """At their own lengths all schemes are alike; a model that did not learn would say nothing."""
    length = context["length"]
    if context.full:  # a few steps of the small preset teach nothing
        worst = max(
            mean_of([run.whole[2 * length] for run in found[name]]).value for name in ARMS if "2 L" in name
        )
        context.guard("learned", worst, 2.0, "Loss of the model trained at 2 L, nats a byte; untrained 5.5.")


def _chart(context: Context, found: dict[str, list[Judged]], kind: str, title: str) -> None:
    lines = []
    for name, runs in found.items():
        lengths = list(runs[0].whole)
        values = [mean_of([math.exp(getattr(run, kind)[at]) for run in runs]) for at in lengths]
        lines.append(curve(name, lengths, values))
    axes = ("Test length", "bytes", True), ("Perplexity of a byte", "", True)
    context.chart(f"perplexity_{kind}", title, *axes, lines)
