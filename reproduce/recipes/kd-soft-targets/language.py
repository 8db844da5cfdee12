"""The same with text: a small language model on little code, with or without a teacher, or on all code."""

from dataclasses import replace

import torch
from torch import nn

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from .distilling import closed, guard_gap, soft_loss

CORPUS = 500_000  # bytes
LENGTH, BATCH = 64, 16
TEMPERATURE = 2.0  # the paper's for speech
RATE = 3e-3
MOST_SEEDS = 3


def measure(context: Context) -> None:
    """Measures gap_closed_text; charts the validation loss of the three students while they learn."""
    corpus = corpora.code(CORPUS)
    context.data["text"] = corpus.record()
    everything = Text.of(corpus, context.device)
    little = Text(
        everything.train[: len(everything.train) * context["percent"] // 100], everything.validation
    )
    shape = Shape(layers=2, width=context["text_width"], heads=2, length=LENGTH)
    teacher = _learn(context, replace(shape, layers=4, width=2 * shape.width, heads=4), everything, 0)
    arms = {"hard": (little, None), "soft": (little, teacher[0]), "full": (everything, None)}
    curves: dict[str, list[learning.Curve]] = {arm: [] for arm in arms}
    seeds = min(MOST_SEEDS, context["seeds"])
    for seed in range(1, seeds + 1):
        context.progress(0.6 + 0.4 * (seed - 1) / seeds, f"students of code with seed {seed}")
        for arm, (text, guide) in arms.items():
            curves[arm].append(_learn(context, shape, text, seed, guide)[1])
    best = {arm: [min(one.validation) for one in found] for arm, found in curves.items()}
    context.samples["text"] = {arm: [one.validation for one in found] for arm, found in curves.items()}
    if context.full:  # a smoke run learns too little for any gap
        guard_gap(context, "text", best["full"], best["hard"])  # losses: less is better
    context.measure(
        "gap_closed_text",
        mean_of(closed(best["hard"], best["soft"], best["full"])),
        predicted_note="Not a matter of hardware.",
        detail={
            "nats_per_byte": best,
            "teacher_nats_per_byte": min(teacher[1].validation),
            "bytes_seen": len(little.train),
            "temperature": TEMPERATURE,
        },
    )
    labels = {"hard": "little code, hard labels", "soft": "little code, soft targets", "full": "all code"}
    context.chart(
        "loss_by_step",
        "Validation loss of a small language model",
        ("Step", "", False),
        ("Validation loss", "nats a byte", False),
        [
            curve(label, curves[arm][0].marks, [mean_of(at) for at in _by_step(curves[arm])])
            for arm, label in labels.items()
        ],
    )


def _by_step(curves: list[learning.Curve]) -> list[tuple[float, ...]]:
    return list(zip(*(one.validation for one in curves), strict=True))


def _learn(
    context: Context, shape: Shape, text: Text, seed: int, teacher: nn.Module | None = None
) -> tuple[TinyGPT, learning.Curve]:
    """A model of that shape, trained on `text`, or there on a teacher's probabilities."""
    model = TinyGPT(shape, seed=seed).to(context.device)
    held_out = text.held_out(64, LENGTH)

    def distil(student: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            targets = (teacher(batch[:, :-1]).float() / TEMPERATURE).softmax(-1)
        return soft_loss(student(batch[:, :-1]).float(), targets, TEMPERATURE).mean()

    found = learning.train(
        model,
        lambda step, generator: text.draw(BATCH, LENGTH, generator),
        Plan(steps=context["text_steps"], rate=RATE, seed=seed),
        lambda trained: learning.validation_loss(trained, held_out, parts=1),
        loss=distil if teacher else None,
    )
    return model, found
