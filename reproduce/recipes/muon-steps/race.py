"""AdamW against Muon on a byte model of Python: how little Muon needs for the loss that AdamW ends with.

Both get as many tries for rate and weight decay. Muon then trains over several horizons, each with its whole
schedule, and the horizon at which it ends with AdamW's loss is interpolated, seed by seed.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from reproduce.recipes import corpora
from reproduce.recipes.blocks import counting, learning
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of

from . import muon

RATES = (1e-3, 2e-3, 4e-3, 8e-3, 16e-3)  # of both; Muon's updates are as large as AdamW's
DECAYS = (0.1, 0.03, 0.3)  # the first while rates are tried, the others at the best rate
HORIZONS = (0.4, 0.55, 0.75, 1.0)  # of AdamW's steps
TUNING_SEED = 1000
CLAIMED = 2.0
ARMS = ("adamw", "muon")


@dataclass
class Settled:
    """What the search found for an arm: rate, weight decay, and all that was tried."""

    rate: float
    decay: float
    tried: dict[str, float]


@dataclass
class Found:
    """One size: per seed, Muon's steps to AdamW's loss as a share of AdamW's, with its own whole schedule."""

    parameters: int
    shares: list[float]
    early: list[float]
    extra: float  # FLOP of Muon's step relative to AdamW's
    slower: float  # time of Muon's step relative to AdamW's
    settled: dict[str, Settled]
    curves: dict[str, list[learning.Curve]]

    def compute_ratio(self) -> Interval:
        """FLOP of AdamW divided by Muon's, to the same loss."""
        return mean_of([1 / (share * self.extra) for share in self.shares])

    def speedup(self) -> Interval:
        """Seconds of AdamW divided by Muon's, to the same loss."""
        return mean_of([1 / (share * self.slower) for share in self.shares])


def measure(context: Context) -> None:
    """Measures compute_ratio, speedup and early_ratio at the largest size; charts all sizes."""
    corpus = corpora.code(context["corpus_kb"] * 1000)
    context.data.update({"corpus": corpus.record(), "tokenizer": "bytes"})
    text, widths = Text.of(corpus, context.device), context["widths"]
    found = [
        _race(context, text, width, index / len(widths), (index + 1) / len(widths))
        for index, width in enumerate(widths)
    ]
    largest = found[-1]
    tries = [len(settled.tried) for settled in largest.settled.values()]
    context.guard("same_search", abs(tries[0] - tries[1]), 0, f"Both arms had {tries[0]} tries.")
    detail = _detail(largest)
    context.samples["race"] = {"shares": largest.shares, "early": largest.early}
    context.measure("compute_ratio", largest.compute_ratio(), detail=detail)
    context.measure("speedup", largest.speedup(), detail={"step_time_ratio": largest.slower})
    context.measure("early_ratio", mean_of(largest.early))
    _charts(context, found)


def _race(context: Context, text: Text, width: int, begin: float, end: float) -> Found:
    context.progress(begin, f"width {width}: the search")
    settled = {arm: _search(context, text, width, arm) for arm in ARMS}
    context.progress((begin + end) / 2, f"width {width}: the race")
    steps, shares, early = context["steps"], [], []
    curves: dict[str, list[learning.Curve]] = {arm: [] for arm in ARMS}
    for seed in range(context["seeds"]):
        run = partial(_learn, context, text, width, seed=seed)
        baseline = run("adamw", settled["adamw"], steps)
        runs = {share: run("muon", settled["muon"], max(8, round(share * steps))) for share in HORIZONS}
        shares.append(crossing(HORIZONS, [each.final for each in runs.values()], baseline.final))
        early.append(steps / (runs[1.0].steps_to(baseline.final) or steps))
        for arm, kept in (("adamw", baseline), ("muon", runs[1.0])):
            curves[arm].append(kept)
    model = _model(context, width, 0)
    slower = min(c.seconds[-1] for c in curves["muon"]) / min(c.seconds[-1] for c in curves["adamw"])
    extra = 1 + muon.flop_of(_hidden(model)) / _step_flop(context, text, model)
    return Found(model.size(), shares, early, extra, slower, settled, curves)


def crossing(shares: tuple[float, ...], losses: list[float], target: float) -> float:
    """The share at which the losses, falling with rising shares, reach the target; else the nearest end.

    Interpolated in the logarithm of the share. At the lowest end the true share may be smaller still.
    """
    if losses[0] <= target:
        return shares[0]
    for (low, above), (high, below) in zip(
        zip(shares, losses, strict=True), zip(shares[1:], losses[1:], strict=True), strict=False
    ):
        if below <= target:
            through = (above - target) / (above - below)
            return math.exp(math.log(low) + through * (math.log(high) - math.log(low)))
    return shares[-1] * math.exp(losses[-1] - target)  # worse at every share: at least so much more


def _search(context: Context, text: Text, width: int, arm: str) -> Settled:
    """Rates at the first weight decay, then the other weight decays at the best rate."""
    tried: dict[tuple[float, float], float] = {}

    def attempt(rate: float, decay: float) -> None:
        given = Settled(rate, decay, {})
        final = _learn(context, text, width, arm, given, context["steps"], seed=TUNING_SEED).final
        tried[rate, decay] = final if math.isfinite(final) else math.inf

    for rate in RATES:
        attempt(rate, DECAYS[0])
    best = min(tried, key=tried.__getitem__)[0]
    for decay in DECAYS[1:]:
        attempt(best, decay)
    record = {f"rate {rate:g}, decay {decay:g}": min(loss, 1e3) for (rate, decay), loss in tried.items()}
    return Settled(*min(tried, key=tried.__getitem__), record)


def _learn(
    context: Context, text: Text, width: int, arm: str, settled: Settled, steps: int, *, seed: int
) -> learning.Curve:
    model, length = _model(context, width, seed), context["lm_length"]
    plan = learning.Plan(steps, settled.rate, seed=seed, weight_decay=settled.decay)
    held_out = text.held_out(context["lm_batch"] * 4, length)
    return learning.train(
        model,
        lambda _, generator: text.draw(context["lm_batch"], length, generator),
        plan,
        partial(learning.validation_loss, batch=held_out, parts=4),
        optimizer=partial(_muon, model, plan) if arm == "muon" else None,
        graphed=context.device.type == "cuda",
    )


def _muon(model: TinyGPT, plan: learning.Plan, parameters: list[nn.Parameter]) -> muon.Muon:
    rate = torch.tensor(plan.rate, device=parameters[0].device)
    return muon.Muon(muon.groups_of(model, plan.weight_decay), lr=rate, betas=plan.betas)


def _model(context: Context, width: int, seed: int) -> TinyGPT:
    shape = Shape(context["lm_layers"], width, max(1, width // 64), context["lm_length"])
    return TinyGPT(shape, seed=seed).to(context.device)


def _hidden(model: TinyGPT) -> list[torch.Size]:
    return [parameter.shape for parameter in muon.groups_of(model, 0.0)[0]["params"]]


def _step_flop(context: Context, text: Text, model: TinyGPT) -> int:
    """FLOP of forward and backward of a batch, counted from one sequence."""
    tokens = text.held_out(1, context["lm_length"])
    return context["lm_batch"] * counting.flop(lambda: model.loss(tokens).backward())


def _detail(found: Found) -> dict[str, Any]:
    return {
        "parameters": found.parameters,
        "share_of_steps": found.shares,
        "censored": sum(share <= HORIZONS[0] for share in found.shares),
        "flop_of_a_step_relative": found.extra,
        "search": {
            arm: {"rate": each.rate, "weight_decay": each.decay, "tried": each.tried}
            for arm, each in found.settled.items()
        },
        "final_losses": {arm: [each.final for each in runs] for arm, runs in found.curves.items()},
    }


def _charts(context: Context, found: list[Found]) -> None:
    sizes = [each.parameters for each in found]
    context.chart(
        "compute_ratio_by_size",
        "Compute of AdamW relative to Muon, to the same loss",
        ("Parameters", "", True),
        ("Compute ratio", "x", False),
        [
            curve("fixed horizons", sizes, [each.compute_ratio() for each in found]),
            curve("reached early in a long schedule", sizes, [mean_of(each.early) for each in found]),
            level("claimed by the paper", [0.9 * sizes[0], 1.1 * sizes[-1]], CLAIMED),
        ],
    )
    lines = []
    for arm, runs in found[-1].curves.items():
        columns = zip(*(run.validation for run in runs), strict=True)
        lines.append(curve(arm, runs[0].marks, [mean_of(column) for column in columns]))
    context.chart(
        "validation_loss",
        "Validation loss of the largest model",
        ("Step", "", False),
        ("Validation loss", "nats a byte", False),
        lines,
    )
