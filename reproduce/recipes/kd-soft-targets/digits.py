"""Digits: the same small net on little data with hard labels or soft targets, and on all data."""

import importlib
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of

from . import nets
from .distilling import closed, guard_gap
from .nets import Job

CLASSES, TESTED = 10, 500
WIDTH, TEACHER_WIDTH = 128, 400
DECAYS, TEMPERATURES = (0.0, 0.1, 1.0, 10.0), (1.0, 2.0, 5.0, 20.0)  # four tries for every arm
TEACHER_DECAY = 0.1
TUNING, FIRST_TUNING_SEED = 3, 1000
SHARES = (1, 3, 10, 30)  # percent


@dataclass
class Digits:
    """Pixels from 0 to 1 and labels of all digits; for each seed a test set and soft targets of a teacher."""

    pixels: torch.Tensor
    labels: torch.Tensor
    orders: dict[int, torch.Tensor]
    logits: dict[int, torch.Tensor]

    def rows(self, seed: int, percent: float) -> torch.Tensor:
        """Training rows of a seed: the first ones of its order, every class about equally often."""
        train = self.orders[seed][TESTED:]
        return train[: max(CLASSES, round(len(train) * percent / 100))]

    def accuracy(self, seed: int, logits: torch.Tensor) -> float:
        """Share of the seed's test digits that are recognised."""
        test = self.orders[seed][:TESTED]
        return (logits[test].argmax(-1) == self.labels[test]).float().mean().item()

    def hard(self, seed: int, percent: float, decay: float) -> Job:
        """A student on labels."""
        targets = functional.one_hot(self.labels, CLASSES).float()
        return Job(seed, self.rows(seed, percent), targets, decay=decay)

    def soft(self, seed: int, percent: float, temperature: float) -> Job:
        """A student on its teacher's probabilities."""
        targets = (self.logits[seed] / temperature).softmax(-1)
        return Job(seed, self.rows(seed, percent), targets, temperature)


def measure(context: Context) -> None:
    """Measures gap_closed and the three accuracies; charts the temperature and the share of data."""
    seeds = list(range(context["seeds"]))
    tuning = list(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + TUNING))
    digits = load(context, seeds + tuning)
    best, tried = _tune(context, digits, tuning)
    context.progress(0.3, "digits: every arm with every seed")
    little = context["percent"]
    jobs = {
        "hard": [digits.hard(s, little, best["hard"]) for s in seeds],
        "full": [digits.hard(s, 100, best["full"]) for s in seeds],
    }
    jobs |= {f"soft T={t:g}": [digits.soft(s, little, t) for s in seeds] for t in TEMPERATURES}
    jobs |= {f"hard {share} %": [digits.hard(s, share, best["hard"]) for s in seeds] for share in SHARES}
    jobs |= {f"soft {share} %": [digits.soft(s, share, best["soft"]) for s in seeds] for share in SHARES}
    found = _accuracies(context, digits, jobs)
    chosen = found[f"soft T={best['soft']:g}"]
    context.samples["digits"] = found
    if context.full:  # the few steps of a smoke run may leave no gap
        guard_gap(context, "digits", found["hard"], found["full"])
    context.measure(
        "gap_closed",
        mean_of(closed(found["hard"], chosen, found["full"])),
        predicted_note="Not a matter of hardware.",
        detail={
            "digits_seen": len(digits.rows(0, little)),
            "chosen": best,
            "tried": tried,
            "teacher": [digits.accuracy(s, digits.logits[s]) for s in seeds],
        },
    )
    for name, values in (("hard", found["hard"]), ("soft", chosen), ("full", found["full"])):
        context.measure(f"accuracy_{name}", mean_of(values))
    _charts(context, found)


def load(context: Context, seeds: list[int]) -> Digits:
    """The bundled digits with a teacher for each seed. Raises ModuleNotFoundError without scikit-learn."""
    bunch = importlib.import_module("sklearn.datasets").load_digits()
    pixels = torch.tensor(bunch.data / 16, dtype=torch.float32, device=context.device)
    labels = torch.tensor(bunch.target, device=context.device)
    context.data["digits"] = {"name": "sklearn.datasets.load_digits", "digits": len(labels)}
    orders = {seed: _order(bunch.target, seed).to(context.device) for seed in seeds}
    digits = Digits(pixels, labels, orders, {})
    jobs = [digits.hard(seed, 100, TEACHER_DECAY) for seed in seeds]
    taught = nets.train(pixels, jobs, TEACHER_WIDTH, context["digit_steps"])
    digits.logits.update(zip(seeds, taught, strict=True))
    return digits


def _order(target: Any, seed: int) -> torch.Tensor:
    """All rows, the classes taking turns, so that every beginning holds them about equally often."""
    generator, target = torch.Generator().manual_seed(seed), torch.as_tensor(target)
    shuffled = torch.randperm(len(target), generator=generator)
    turn = torch.zeros(len(target))
    for label in range(CLASSES):
        own = target[shuffled] == label
        turn[own] = torch.arange(int(own.sum())) + torch.rand(int(own.sum()), generator=generator)
    return shuffled[turn.argsort()]


def _tune(context: Context, digits: Digits, seeds: list[int]) -> tuple[dict[str, float], dict[str, Any]]:
    """The best of four tries for each arm, on seeds that are not measured."""
    little = context["percent"]
    tries = {
        "hard": {decay: [digits.hard(s, little, decay) for s in seeds] for decay in DECAYS},
        "soft": {t: [digits.soft(s, little, t) for s in seeds] for t in TEMPERATURES},
        "full": {decay: [digits.hard(s, 100, decay) for s in seeds] for decay in DECAYS},
    }
    jobs = {f"{arm} {value:g}": made for arm, of in tries.items() for value, made in of.items()}
    means = {name: sum(values) / len(values) for name, values in _accuracies(context, digits, jobs).items()}
    best = {arm: max(of, key=lambda value: means[f"{arm} {value:g}"]) for arm, of in tries.items()}
    return best, means


def _accuracies(context: Context, digits: Digits, jobs: dict[str, list[Job]]) -> dict[str, list[float]]:
    """Accuracy for each job, all trained in one go."""
    every = [job for made in jobs.values() for job in made]
    logits = iter(nets.train(digits.pixels, every, WIDTH, context["digit_steps"]))
    return {name: [digits.accuracy(job.seed, next(logits)) for job in made] for name, made in jobs.items()}


def _charts(context: Context, found: dict[str, list[float]]) -> None:
    gaps: list[Interval] = [
        mean_of(closed(found["hard"], found[f"soft T={t:g}"], found["full"])) for t in TEMPERATURES
    ]
    context.chart(
        "gap_by_temperature",
        f"Gap closed by soft targets on {context['percent']} % of the digits",
        ("Temperature", "", True),
        ("Gap closed", "fraction", False),
        [curve("measured", TEMPERATURES, gaps), level("claimed by the paper", TEMPERATURES, 0.868)],
    )
    context.chart(
        "accuracy_by_share",
        "Accuracy by share of the digits that the student sees",
        ("Training data", "%", True),
        ("Accuracy", "", False),
        [
            curve(label, SHARES, [mean_of(found[f"{arm} {share} %"]) for share in SHARES])
            for arm, label in (("hard", "hard labels"), ("soft", "soft targets"))
        ]
        + [level("hard labels, all data", SHARES, mean_of(found["full"]).value)],
    )
