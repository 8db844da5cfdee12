"""Two-layer models on induction heads and associative recall: four mixers, all taught alike."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from reproduce.recipes.blocks import statespace, tasks
from reproduce.recipes.blocks.learning import Plan, train
from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.blocks.seeds import Seeds, Together, lively
from reproduce.recipes.blocks.tasks import AssociativeRecall, InductionHeads, Task
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of

from . import teaching

TASKS: dict[str, Task] = {"induction": InductionHeads(30, 20), "recall": AssociativeRecall(10, 10)}
CLAIMED = {"induction": 1.0, "recall": 0.998}
UNIT_OF_RATE = 1e-4
CHOOSING, JUDGING = 1, 2  # seeds of examples: to choose a rate by, to judge by
SHARE = {"induction": 1.0, "recall": 0.5}  # of the steps: the authors, too, train half as long on recall
SOLVED = 0.99
PARTS = 4  # of a batch

MIXERS: dict[str, Callable[[Shape, int], nn.Module]] = {
    "attention": Together,
    "H3": statespace.H3,
    "S4D": statespace.S4D,
    "GSS": statespace.GSS,
}


@dataclass(frozen=True)
class Trained:
    """One mixer on one task at one rate: accuracies of each seed, over training and at the end."""

    rate: int
    marks: list[int]
    course: list[list[float]]  # on the examples that choose, for each mark
    judged: list[float]

    @property
    def chosen_by(self) -> float:
        """Mean accuracy at the end on the examples that choose."""
        return sum(self.course[-1]) / len(self.course[-1])


def measure(context: Context) -> None:
    """Measures the accuracy of each mixer on each task, and whether the paper's ordering holds."""
    found: dict[str, dict[str, list[Trained]]] = {task: {} for task in TASKS}
    jobs = [(task, mixer) for task in TASKS for mixer in MIXERS]
    for number, (task, mixer) in enumerate(jobs):
        context.progress(0.1 + 0.75 * number / len(jobs), f"{mixer} learns {task}")
        found[task][mixer] = [_train(context, task, mixer, rate) for rate in context["rates"]]
    best = {
        task: {mixer: max(runs, key=lambda run: run.chosen_by) for mixer, runs in of_task.items()}
        for task, of_task in found.items()
    }
    for task, mixer in jobs:
        chosen = best[task][mixer]
        rates = {f"{run.rate}e-4": mean_of(run.judged).value for run in found[task][mixer]}
        detail = {"chosen_rate": chosen.rate * UNIT_OF_RATE, "accuracy_by_rate": rates}
        context.measure(f"{mixer.lower()}_{task}", mean_of(chosen.judged), detail=detail)
        context.samples[f"{task}, {mixer}"] = {f"{r.rate}e-4": r.judged for r in found[task][mixer]}
    order(context, {task: {name: run.judged for name, run in best[task].items()} for task in TASKS})
    for task in TASKS:
        _charts(context, task, found[task], best[task])


def order(context: Context, accuracies: dict[str, dict[str, list[float]]]) -> None:
    """Measures order, from the accuracies of each seed; guards that attention solves both tasks."""
    errors = {
        task: {mixer: [1 - share for share in shares] for mixer, shares in of_task.items()}
        for task, of_task in accuracies.items()
    }
    pairs = [
        Pair(f"{task}: {better} above {worse}", errors[task][better], errors[task][worse])
        for task in TASKS
        for better, worse in (("H3", "S4D"), ("S4D", "GSS"))
    ]
    holds, detail = order_holds(*pairs)
    context.measure("order", holds, n=len(pairs[0].better), detail=detail)
    if context.full:  # a few steps of the small preset solve nothing
        worst = max(mean_of(errors[task]["attention"]).value for task in TASKS)
        context.guard(
            "attention_solves", worst, 1 - SOLVED, "Attention's larger mean error of the two tasks."
        )


def _train(context: Context, task: str, mixer: str, rate: int) -> Trained:
    problem, seeds = TASKS[task], context["seeds"]
    shape = Shape(
        layers=2,
        width=context["width"],
        heads=2,
        length=64,
        vocabulary=problem.vocabulary,
        norm="layer",
        tied=False,
        positions="rope" if mixer == "attention" else "none",
    )

    def make(seed: int) -> nn.Module:
        model = lively(TinyGPT(shape, MIXERS[mixer], seed=seed), seed)
        model.embedding = teaching.Dropped(model.embedding)
        return model

    model = Seeds(make, range(seeds), PARTS).to(context.device)
    paces = teaching.paces(make(0), context.device)
    choosing, judging = (
        tasks.held_out(problem, seeds * context["examples"], context.device, seed).unflatten(1, (seeds, -1))
        for seed in (CHOOSING, JUDGING)
    )
    course: list[list[float]] = []

    def evaluate(model: nn.Module) -> float:
        course.append(tasks.accuracy(model, choosing).tolist())
        return 1 - sum(course[-1]) / seeds

    plan = Plan(
        round(context["steps"] * SHARE[task]),
        rate * UNIT_OF_RATE,
        seed=7,
        warm_up=0.1,
        clip=0.0,
        half=False,
        evaluations=6,
    )
    torch.manual_seed(7)  # of what dropout zeroes, the same for every mixer
    done = train(
        model,
        teaching.epochs(teaching.pool_of(problem, seeds, context.device), context["batch"]),
        plan,
        evaluate,
        optimizer=lambda parameters: teaching.Decaying(parameters, plan, paces),
        loss=tasks.loss,
        graphed=context.device.type == "cuda",
    )
    return Trained(rate, done.marks, course, tasks.accuracy(model, judging).tolist())


def _charts(context: Context, task: str, runs: dict[str, list[Trained]], best: dict[str, Trained]) -> None:
    marks = next(iter(best.values())).marks
    lines = [curve(name, run.marks, [mean_of(seeds) for seeds in run.course]) for name, run in best.items()]
    context.chart(
        f"accuracy_{task}",
        f"Accuracy on {task} over training, each mixer at its best rate",
        ("Training steps", "", False),
        ("Accuracy", "", False),
        [*lines, level("claimed by the paper", marks, CLAIMED[task])],
    )
    if len(context["rates"]) == 1:
        return
    context.chart(
        f"rates_{task}",
        f"Accuracy on {task} by learning rate",
        ("Peak learning rate", "", True),
        ("Accuracy", "", False),
        [curve(name, _rates(tried), [_judged(run) for run in tried]) for name, tried in runs.items()],
    )


def _rates(tried: list[Trained]) -> list[float]:
    return [run.rate * UNIT_OF_RATE for run in tried]


def _judged(run: Trained) -> Interval:
    return mean_of(run.judged)
