"""Two-layer models learn induction heads, shorter ones first, and are asked longer ones; and copying."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from reproduce.recipes.blocks import statespace, tasks
from reproduce.recipes.blocks.learning import Plan, train
from reproduce.recipes.blocks.seeds import Seeds, Together, lively
from reproduce.recipes.blocks.tasks import InductionHeads, SelectiveCopy, Task
from reproduce.recipes.blocks.tinygpt import FeedForward, Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of, median_of
from reproduce.recipes.toolbox import release

from . import mamba

VOCABULARY = 16
RATES = (5e-3, 2e-3)  # each arm takes the better one after the shorter lessons, the higher if both are equal
SHORTEST = 16  # tokens: lessons double from here to the training length
SHORTER = 16  # times fewer steps in each of the shorter lessons
HEADS = 8  # of attention: the paper's
PARTS = 8  # of a batch
PASSES = 0.995  # RECIPES
HOPELESS = 0.5
EXAMPLES = (64, 512)  # that test a length: at least, at most
CHOOSING, JUDGING = 1, 2


@dataclass(frozen=True)
class Arm:
    """A mixer with its positions; `reach`: longest test, in training lengths; `at_once`: tokens of a test."""

    mixer: Callable[[Shape, int], nn.Module]
    positions: str = "none"
    feed_forward: Callable[[Shape], nn.Module] = FeedForward
    reach: int = 16
    at_once: int = 2**20


@dataclass(frozen=True)
class Lesson:
    """A task to train on for so many steps of so many examples for each seed."""

    task: Task
    examples: int
    steps: int


ARMS = {
    "Mamba": Arm(mamba.Mamba, feed_forward=mamba.Absent, reach=4096, at_once=2**22),
    "H3": Arm(statespace.H3),
    "S4D": Arm(statespace.S4D),
    "attention, RoPE": Arm(Together, "rope", at_once=2**16),
    "attention, ALiBi": Arm(Together, "alibi", at_once=2**16),
    "attention, no positions": Arm(Together, "none", at_once=2**16),
}


def extrapolate(context: Context) -> None:
    """Measures the longest length each arm solves, in training lengths; charts accuracy over lengths."""
    lines, gains, solved = [], {}, {}
    for number, (name, arm) in enumerate(ARMS.items()):
        context.progress(0.1 + 0.4 * number / len(ARMS), f"{name} learns induction heads")
        begun = time.perf_counter()
        model, rate = _taught(context, arm, lambda length: InductionHeads(length, VOCABULARY))
        by_length = _by_length(context, arm, model)
        context.samples[f"induction, {name}"] = {str(at): seeds for at, seeds in by_length.items()}
        gains[name] = [_longest(context, by_length, seed) for seed in range(context["seeds"])]
        solved[name] = mean_of(by_length[context["length"]]).value
        context.log(
            f"{name}: best rate {rate:g}, {solved[name]:.1%} at the training length, {gains[name]}, "
            f"{time.perf_counter() - begun:.0f} s"
        )
        lines.append(curve(name, list(by_length), [mean_of(seeds) for seeds in by_length.values()]))
        del model
        release(context.device)
    context.chart(
        "extrapolation",
        f"Induction heads, trained at {context['length']} tokens",
        ("Sequence length", "tokens", True),
        ("Accuracy", "", False),
        lines,
    )
    _measure(context, gains, solved)


def _measure(context: Context, gains: dict[str, list[float]], solved: dict[str, float]) -> None:
    attention = [name for name in ARMS if name.startswith("attention")]
    best = max(attention, key=lambda name: median_of(gains[name]).value)
    chosen = {"extrapolation": "Mamba", "extrapolation_attention": best} | {
        f"extrapolation_{name.lower()}": name for name in ("H3", "S4D")
    }
    for measure, name in chosen.items():
        detail = {"arm": name, "accuracy_at_training_length": solved[name]}
        context.measure(measure, median_of(gains[name]), detail=detail)
    if context.full:  # a few steps of the small preset solve nothing
        worst = 1 - max(solved[name] for name in attention)
        context.guard("attention_solves", worst, 0.01, "Error of the best attention at the training length.")


def copy(context: Context) -> None:
    """Measures the accuracy of Mamba and of S4D, whose state does not select, on selective copying."""

    def task_of(length: int) -> Task:
        return SelectiveCopy(length, length // SHORTEST, VOCABULARY)

    for number, name in enumerate(("Mamba", "S4D")):
        context.progress(0.5 + 0.05 * number, f"{name} learns selective copying")
        begun = time.perf_counter()
        model, rate = _taught(context, ARMS[name], task_of)
        found = _accuracies(context, ARMS[name], model, task_of(context["length"]))
        context.log(f"{name}: best rate {rate:g}, {time.perf_counter() - begun:.0f} s")
        context.samples[f"copying, {name}"] = found
        context.measure(f"copying_{name.lower()}", mean_of(found), detail={"rate": rate})


def _by_length(context: Context, arm: Arm, model: Seeds) -> dict[int, list[float]]:
    """Accuracies of each seed at rising lengths, until beyond the training length all are hopeless."""
    found = {}
    for length in _lengths(context, arm):
        found[length] = _accuracies(context, arm, model, InductionHeads(length, VOCABULARY))
        if length > context["length"] and max(found[length]) < HOPELESS:
            break
    return found


def _lengths(context: Context, arm: Arm) -> list[int]:
    """Test lengths in powers of two from a quarter of the training length on."""
    end = min(arm.reach, context["reach"])
    return [context["length"] * 2**power // 4 for power in range((4 * end).bit_length())]


def _longest(context: Context, by_length: dict[int, list[float]], seed: int) -> float:
    """The longest length that a seed solves, with all shorter ones, in training lengths; a token if none."""
    longest = 1
    for length in sorted(by_length):
        if by_length[length][seed] < PASSES:
            break
        longest = length
    return longest / context["length"]


def _lessons(context: Context, task_of: Callable[[int], Task]) -> list[Lesson]:
    """The task at doubling lengths, as many tokens in each step; most steps are at the training length."""
    full, steps = context["length"], context["steps"]
    shorter = [SHORTEST * 2**power for power in range(full.bit_length()) if SHORTEST * 2**power < full]
    lessons = [
        Lesson(task_of(length), context["batch"] * full // length, max(1, steps // SHORTER))
        for length in shorter
    ]
    return [*lessons, Lesson(task_of(full), context["batch"], steps)]


def _taught(context: Context, arm: Arm, task_of: Callable[[int], Task]) -> tuple[Seeds, float]:
    """A model at the rate that does better after the shorter lessons, on examples that judge nothing else."""
    *shorter, last = _lessons(context, task_of)
    found = []
    for rate in RATES:
        model = _untrained(context, arm)
        for number, lesson in enumerate(shorter):
            _train(context, model, lesson, _plan(lesson.steps, rate, number))
        found.append((sum(_accuracies(context, arm, model, last.task, CHOOSING)), rate, model))
    _, rate, model = max(found, key=lambda run: run[0])
    _train(context, model, last, _plan(last.steps, rate, len(shorter)))
    return model, rate


def _untrained(context: Context, arm: Arm) -> Seeds:
    shape = Shape(
        *(2, context["width"], HEADS, 1),
        vocabulary=VOCABULARY,
        norm="layer",
        tied=False,
        positions=arm.positions,
    )

    def make(seed: int) -> nn.Module:
        return lively(TinyGPT(shape, arm.mixer, arm.feed_forward, seed), seed)

    return Seeds(make, range(context["seeds"]), PARTS).to(context.device)


def _train(context: Context, model: Seeds, lesson: Lesson, plan: Plan) -> None:
    seeds = context["seeds"]
    draw = tasks.drawing(lesson.task, seeds * lesson.examples, context.device)
    train(
        model,
        lambda step, generator: draw(step, generator).unflatten(1, (seeds, -1)),
        plan,
        loss=tasks.loss,
    )


def _plan(steps: int, rate: float, seed: int) -> Plan:
    """A constant rate after a warm-up, as in the paper."""
    return Plan(
        *(steps, rate, seed),
        floor=1.0,
        clip=0.0,
        weight_decay=0.0,
        half=False,
        evaluations=1,
    )


def _accuracies(context: Context, arm: Arm, model: Seeds, task: Task, judge: int = JUDGING) -> list[float]:
    """For each seed, over examples that fit into memory a few at a time."""
    length = task.batch(1, torch.Generator(context.device)).shape[2]
    low, high = EXAMPLES if context.full else (4, 16)
    count = max(low, min(high, 2**24 // length))
    examples = tasks.held_out(task, count, context.device, judge)
    pieces = examples.split(max(1, min(count, arm.at_once // length)), dim=1)
    return [_share(model, seed, pieces) for seed in range(context["seeds"])]


def _share(model: Seeds, seed: int, pieces: tuple[torch.Tensor, ...]) -> float:
    def alone(ids: torch.Tensor) -> torch.Tensor:
        return model.one(seed, ids)

    right = sum(tasks.accuracy(alone, piece).item() * piece.shape[1] for piece in pieces)
    return right / sum(piece.shape[1] for piece in pieces)
