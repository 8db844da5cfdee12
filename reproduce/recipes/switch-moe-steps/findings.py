"""Steps and seconds that sparse models need for the dense model's last loss; how evenly experts are used."""

import math

import numpy as np

from reproduce.recipes.blocks.learning import Curve
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of

from .dialects import LETTERS
from .training import Arm, record

CLAIMED = 7.0
BALANCED = 2.0  # most tokens of an expert, in means. Source: RECIPES, section 33


def report(context: Context, arms: dict[int, Arm], least: float) -> None:
    """Measures both speed-ups at the most experts, FLOP, loss and load; charts losses and speed-ups.

    `least` is what dialects cost who knows them, in nats a byte.
    """
    dense, most = arms[0], arms[max(arms)]
    context.samples["arms"] = {str(number): record(arm) for number, arm in arms.items()}
    steps = {number: gains(dense, arm, "steps") for number, arm in arms.items() if number}
    seconds = {number: gains(dense, arm, "seconds") for number, arm in arms.items() if number}
    detail = {
        "experts": most.experts,
        "parameters": {"dense": dense.parameters, "switch": most.parameters},
        "seeds_that_never_got_there": {
            n: sum(c.steps_to(t) is None for c, t in _paired(dense, arm)) for n, arm in _named(arms).items()
        },
        "last_losses_apart": {n: arm.apart for n, arm in _named(arms, 0).items()},
        "final_loss": {n: [c.final for c in arm.curves] for n, arm in _named(arms, 0).items()},
    }
    for name, found in (("speedup_steps", steps), ("speedup_seconds", seconds)):
        context.measure(name, mean_of(found[most.experts]), detail=detail | {"by_seed": found[most.experts]})
    context.measure(
        "flop_ratio",
        most.flop / dense.flop,
        predicted=1.0,
        predicted_note="Active parameters are equal; the rest is router and the experts' spare room.",
        detail={"flop_a_token": {"dense": dense.flop, "switch": most.flop}},
    )
    gaps = [a.final - b.final for a, b in zip(most.curves, dense.curves, strict=True)]
    context.measure("loss_gap", mean_of(gaps), detail={"by_seed": gaps})
    guard_dialects(context, dense, least)
    _load(context, most)
    _charts(context, arms, steps, seconds)


def _named(arms: dict[int, Arm], least: int = 1) -> dict[str, Arm]:
    return {str(number): arm for number, arm in arms.items() if number >= least}


def _paired(dense: Arm, arm: Arm) -> list[tuple[Curve, float]]:
    """Each sparse curve with the dense curve's last loss at the same seed."""
    return [(mine, other.final) for mine, other in zip(arm.curves, dense.curves, strict=True)]


def gains(dense: Arm, arm: Arm, unit: str) -> list[float]:
    """Of each seed: the dense model's whole cost over the sparse one's to the same loss.

    Who never gets there counts as if its last step had: at most one in steps, so nothing is gained by it.
    """
    found = []
    for (mine, target), other in zip(_paired(dense, arm), dense.curves, strict=True):
        whole = other.marks[-1] if unit == "steps" else other.seconds[-1]
        own = mine.steps_to(target) if unit == "steps" else mine.seconds_to(target)
        last = mine.marks[-1] if unit == "steps" else mine.seconds[-1]
        found.append(whole / (last if own is None else own))
    return found


def guard_dialects(context: Context, dense: Arm, least: float) -> None:
    """Guards, where there is time to learn, that the dense model knows more of dialects than of code alone.

    Of what can be learnt of them, from the alphabet's size down to `least`, half is asked.
    """
    if context.full:
        worst = max(apart["dialects"] for apart in dense.apart)
        detail = f"Dense model's loss on dialects, its worst seed; {least:.2f} would be perfect."
        context.guard("dialects_learnt", worst, (least + math.log(LETTERS)) / 2, detail)


def _load(context: Context, arm: Arm) -> None:
    """Measures dropped tokens and the evenness of the load; guards the balance of trained experts."""
    loads = np.asarray(arm.loads, dtype=float)  # seeds, layers, experts
    shares = loads / loads.sum(-1, keepdims=True)
    logs = np.log(np.where(shares > 0, shares, 1.0))
    entropy = -(shares * logs).sum(-1).mean(-1) / math.log(arm.experts)
    context.measure("dropped", mean_of(arm.dropped), detail={"by_seed": arm.dropped})
    context.measure("load_entropy", mean_of(entropy.tolist()), predicted=1.0, predicted_note="Even load.")
    fullest = float((loads.max(-1) / loads.mean(-1)).mean(0).max())
    context.guard(
        "balanced",
        fullest,
        BALANCED if context.full else arm.experts,
        "Tokens of the fullest expert over the mean, of each seed, then their mean, in the worse layer; "
        "held-out tokens; a smoke run is too short to balance anything.",
    )


def _charts(
    context: Context, arms: dict[int, Arm], steps: dict[int, list[float]], seconds: dict[int, list[float]]
) -> None:
    numbers = list(steps)
    lines = [
        curve("in steps", numbers, [mean_of(values) for values in steps.values()]),
        curve("in seconds", numbers, [mean_of(values) for values in seconds.values()]),
        level("claimed by the paper", numbers, CLAIMED),
    ]
    context.chart(
        "speedups",
        "Training to the dense model's last loss, by number of experts",
        ("Experts", "", True),
        ("Speed-up over the dense model", "x", True),
        lines,
    )
    context.chart(
        "losses",
        "Validation loss by step, mean of the seeds",
        ("Steps", "", False),
        ("Loss", "nats a byte", False),
        [
            curve(f"{number} experts" if number else "dense", arm.curves[0].marks, _mean_losses(arm))
            for number, arm in arms.items()
        ],
    )


def _mean_losses(arm: Arm) -> list[Interval]:
    return [mean_of(list(at)) for at in zip(*(c.validation for c in arm.curves), strict=True)]
