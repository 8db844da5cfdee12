"""Time of forward passes, one sequence at a time: over pairs of sentences, and over sequence lengths."""

from functools import partial
from typing import Any

import torch

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.memory import tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, STEP, Comparison, compare, profile

from .models import Built

MEAN_TOKENS = 31  # of a pair in STS-B, with its three special tokens
SPREAD = 0.5  # of the logarithm of a sentence's length
SHORTEST, LONGEST = 8, 128
CALLS = 10  # pairs in a sample, since pairs differ in length
CLAIMED = 1.63


def lengths_of_pairs(count: int) -> list[int]:
    """Tokens of each pair: two sentences of log-normal length, and three special tokens."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(count, 2, generator=generator) * SPREAD - SPREAD**2 / 2
    tokens = (words.exp() * (MEAN_TOKENS - 3) / 2).sum(1).round() + 3
    return tokens.clamp(SHORTEST, LONGEST).int().tolist()


def over_pairs(context: Context, ceilings: Probe, built: Built) -> Comparison:
    """Measures speedup and both MiniLM speeds on the CPU; returns the times of all four models."""
    lengths = lengths_of_pairs(context["pairs"])
    vocabulary = built["bert-base"].shape.vocabulary
    pairs = [torch.randint(vocabulary, (1, length)) for length in lengths]
    works = {name: partial(_pass, model, pairs) for name, model in built.items()}
    how = profile(context.preset, STEP, calls=CALLS, warm_up_calls=2, max_s=context["seconds"])
    found = compare(works, "bert-base", how, context.device)
    context.keep("pairs", found)
    typical = round(sum(lengths) / len(lengths))
    least = {name: _least(built, name, typical, ceilings) for name in built}
    detail = {
        "arms": found.figures(),
        "threads": torch.get_num_threads(),
        "mean_tokens": sum(lengths) / len(lengths),
        "pairs_timed": len(found.samples["bert-base"]) * how.calls,
    }
    for measure, name in {
        "speedup": "distilbert",
        "speedup_minilm_768": "minilm-6x768",
        "speedup_minilm_384": "minilm-6x384",
    }.items():
        context.measure(
            measure,
            found.speedup(name),
            predicted=least["bert-base"] / least[name],
            predicted_note="FLOP of the layers and the pooler, or the bytes of their weights, whichever "
            f"takes longer here at {typical} tokens.",
            noise=found.noise(),
            detail=detail | {"fraction_of_limit": _fractions(found, least, name)},
        )
    return found


def _pass(model: torch.nn.Module, inputs: list[torch.Tensor], call: int) -> torch.Tensor:
    """Features of one sequence, through the pooler if there is one."""
    with torch.inference_mode():
        return model.pooled(model(inputs[call % len(inputs)]))


def _least(built: Built, name: str, tokens: int, ceilings: Probe) -> float:
    """Seconds under which a pass cannot be done: arithmetic, or every weight but the embeddings read once."""
    model = built[name]
    ids = torch.zeros(1, tokens, dtype=torch.long)
    flop = counting.flop(lambda: _pass(model, [ids], 0))
    pooler = [] if model.pooler is None else list(model.pooler.parameters())
    read = tensor_bytes([*model.layers.parameters(), *pooler])
    return ceilings.least_time(flop, read, rate="single")


def _fractions(found: Comparison, least: dict[str, float], name: str) -> dict[str, float]:
    return {
        role: least[arm] * 1e3 / found.median(arm).value
        for role, arm in {"candidate": name, "baseline": "bert-base"}.items()
    }


def chart_sizes(context: Context, built: Built, found: Comparison) -> None:
    """Charts the time of a pass against the parameters of the models as they were timed."""
    sizes = {name: sum(p.numel() for p in model.parameters()) / 1e6 for name, model in built.items()}
    ordered = sorted(built, key=sizes.__getitem__)
    context.chart(
        "time_by_size",
        f"Time of a pass by size: {', '.join(ordered)}",
        ("Parameters", "million", False),
        ("Time", "ms", False),
        [curve("pairs of sentences", [sizes[n] for n in ordered], [found.median(n) for n in ordered])],
    )


def over_lengths(context: Context, on_cpu: Context, ceilings: Probe, built: Built) -> None:
    """Charts the speed-up over sequence lengths on the CPU, and on the GPU if the run has one."""
    longest = max(context["lengths"])
    least = {name: _least(built, name, longest, ceilings) for name in ("bert-base", "distilbert")}
    found = {"CPU": [_cell(on_cpu, built, length) for length in context["lengths"]]}
    if context.device.type == "cuda":
        for name in ("bert-base", "distilbert"):
            built[name].to(context.device)
        found["GPU, CUDA graphs"] = [_cell(context, built, length) for length in context["lengths"]]
    lines: list[dict[str, Any]] = [
        curve(label, context["lengths"], values) for label, values in found.items()
    ]
    context.chart(
        "speedup_by_length",
        "Speed-up of DistilBERT over BERT-base, one sequence at a time",
        ("Sequence length", "tokens", True),
        ("Speed-up", "x", False),
        [
            *lines,
            level("claimed by the paper", context["lengths"], CLAIMED),
            level("roofline limit", context["lengths"], least["bert-base"] / least["distilbert"]),
        ],
    )


def _cell(context: Context, built: Built, length: int) -> Interval:
    """The speed-up at one length on the context's device."""
    vocabulary, works = built["bert-base"].shape.vocabulary, {}
    for name in ("bert-base", "distilbert"):
        inputs = [torch.randint(vocabulary, (1, length), device=context.device)]
        works[name] = replayed(partial(_pass, built[name], inputs, 0), context.device)
    how = profile(context.preset, KERNEL, max_s=context["seconds"] / 10)
    found = compare(works, "bert-base", how, context.device)
    kind = context.device.type
    context.samples[f"length_{length}_{kind}"] = dict(found.samples)
    return found.speedup("distilbert")
