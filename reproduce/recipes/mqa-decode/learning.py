"""Training with both: the time of a step at the paper's width, and what a small byte model learns."""

from functools import partial

import torch

from reproduce.recipes.blocks.gap import measure_gap
from reproduce.recipes.blocks.learning import autocast
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import STEP, Work, compare, profile, release

from .decode import ARMS, HEADS, VOCABULARY

SEQUENCES = 64


def build(width: int, layers: int, length: int, vocabulary: int, kv_heads: int, seed: int = 0) -> TinyGPT:
    """A decoder alone; with one key head the feed-forward is wider, so that there are as many weights."""
    hidden = 4 * width + (width - width // HEADS * kv_heads)
    return TinyGPT(Shape(layers, width, HEADS, length, vocabulary, kv_heads, hidden), seed=seed)


def measure(context: Context) -> None:
    """Measures training_ratio and quality_gap."""
    context.progress(0.65, "training steps at the paper's width")
    _time_steps(context)
    release(context.device)
    makers = {arm: partial(_small, context, kv_heads) for arm, kv_heads in ARMS.items()}
    measure_gap(context, makers, context["learn_steps"], 32 if context.full else 8, 0.75)


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


def _small(context: Context, kv_heads: int, seed: int) -> TinyGPT:
    width = 256 if context.full else 32
    return build(width, 4 if context.full else 1, min(256, width), 256, kv_heads, seed)
