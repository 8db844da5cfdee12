"""Training with both: the time of a step at the paper's width, and what a small byte model learns."""

from functools import partial

import torch

from reproduce.recipes import corpora
from reproduce.recipes.blocks.learning import Curve, Plan, autocast, train, validation_loss
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of
from reproduce.recipes.toolbox import STEP, Work, compare, profile, release

from .decode import ARMS, HEADS, VOCABULARY

RATES, SEEDS, TUNING_SEED = (1e-3, 3e-3), 3, 100
CORPUS, SEQUENCES = 3_000_000, 64


def build(width: int, layers: int, length: int, vocabulary: int, kv_heads: int, seed: int = 0) -> TinyGPT:
    """A decoder alone; with one key head the feed-forward is wider, so that there are as many weights."""
    hidden = 4 * width + (width - width // HEADS * kv_heads)
    return TinyGPT(Shape(layers, width, HEADS, length, vocabulary, kv_heads, hidden), seed=seed)


def measure(context: Context) -> None:
    """Measures training_ratio and quality_gap."""
    context.progress(0.65, "training steps at the paper's width")
    _time_steps(context)
    release(context.device)
    _learn_both(context)


def _time_steps(context: Context) -> None:
    works = {arm: _step(context, kv_heads) for arm, kv_heads in ARMS.items()}
    how = profile(context.preset, STEP, warm_up_calls=3, min_s=2.0, max_s=5.0, calls=1)
    times = compare(works, "multi-head", how, context.device)
    context.keep("training", times)
    context.measure(
        "training_ratio",
        times.speedup("multi-query"),
        predicted=1.0,
        predicted_note="As many weights, hence as much arithmetic.",
        noise=times.noise(),
        detail={"baseline": "multi-head", "candidate": "multi-query", "arms": times.figures()},
    )


def _step(context: Context, kv_heads: int) -> Work:
    """Forward, backward and update of 64 sequences; 12 layers stand for the paper's 6 of each kind."""
    width, length, device = context["width"], context["length"], context.device
    model = build(width, 2 * context["layers"], length, VOCABULARY * width, kv_heads).to(device)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    count = SEQUENCES if context.full else 2
    batches = torch.randint(VOCABULARY * width, (2, count, length + 1), device=device)

    def step(call: int) -> None:
        with autocast(device):
            loss = model.loss(batches[call % 2])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _learn_both(context: Context) -> None:
    corpus = corpora.code(CORPUS)
    context.data["training"] = corpus.record()
    text, tried, rates, runs = Text.of(corpus, context.device), {}, {}, {}
    for number, (arm, kv_heads) in enumerate(ARMS.items()):
        context.progress(0.75 + 0.12 * number, f"learning bytes, {arm}")
        tried[arm] = {rate: _learn(context, text, kv_heads, rate, TUNING_SEED).final for rate in RATES}
        rates[arm] = min(tried[arm], key=tried[arm].__getitem__)
        runs[arm] = [_learn(context, text, kv_heads, rates[arm], seed) for seed in range(SEEDS)]
    context.samples["quality"] = {arm: [run.validation for run in found] for arm, found in runs.items()}
    finals = {arm: [run.final for run in found] for arm, found in runs.items()}
    gaps = [ours - theirs for theirs, ours in zip(*finals.values(), strict=True)]
    tables = {arm: {f"{rate:g}": loss for rate, loss in each.items()} for arm, each in tried.items()}
    detail = {"nats_per_byte": finals, "learning_rates": rates, "tried": tables}
    context.measure("quality_gap", mean_of(gaps), detail=detail)
    marks = runs["multi-head"][0].marks
    lines = [
        curve(arm, marks, [mean_of(at) for at in zip(*(run.validation for run in found), strict=True)])
        for arm, found in runs.items()
    ]
    axes = ("Step", "", False), ("Validation loss", "nats a byte", False)
    context.chart("quality", "Validation loss of small byte models", *axes, lines)


def _learn(context: Context, text: Text, kv_heads: int, rate: float, seed: int) -> Curve:
    width, count = (256, 32) if context.full else (32, 8)
    length = min(256, width)
    model = build(width, 4 if context.full else 1, length, 256, kv_heads, seed).to(context.device)
    plan = Plan(context["learn_steps"], rate, seed)
    judge = partial(validation_loss, batch=text.held_out(32, length))
    return train(model, lambda step, generator: text.draw(count, length, generator), plan, judge)
