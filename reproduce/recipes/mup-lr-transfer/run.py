"""Sweeps the learning rate at each width in both parametrisations, and reports how far the best one moves."""

from itertools import pairwise, product

import numpy as np

from reproduce.recipes import corpora
from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, mean_of
from reproduce.recipes.roofline import Probe

from . import scaling, sweeping
from .sweeping import Sweep

CORPUS_BYTES = 4_000_000
FLAT = 0.1
MOVED = 2.0  # octaves that the standard way's best rate moves, at least
DRAWS = 1000
Sweeps = dict[str, dict[int, Sweep]]  # by way, then by width


def run(context: Context) -> None:
    """Reports three measures, three guards and three charts."""
    context.progress(0.0, "asking what this hardware can do")
    ceilings = context.probe()
    corpus = corpora.code(CORPUS_BYTES)
    context.data["corpus"] = corpus.record()
    text = Text.of(corpus, context.device)
    guard(context, text)
    sweeps = _sweep(context, text)
    _measure(context, sweeps, ceilings)
    _charts(context, sweeps)
    context.progress(1.0, "done")


def guard(context: Context, text: Text) -> None:
    """Guards that both ways are one model at the base width, and that muP's activations keep their size."""
    context.progress(0.03, "checking activations over widths")
    widths = context["widths"]
    fleets = {way: sweeping.build(context, way, min(widths), [0]) for way in scaling.WAYS}
    tokens = text.held_out(context["batch"], context["length"])[None]
    losses = {way: float(fleet.evaluate(tokens)) for way, fleet in fleets.items()}
    context.guard(
        "same_at_base",
        abs(losses["muP"] - losses["standard"]),
        0.0,
        "Difference of both ways' initial losses at the smallest width, the base; bit for bit.",
    )
    sizes = {
        way: [sweeping.coordinates(context, text, way, width) for width in widths] for way in scaling.WAYS
    }
    slopes = {way: _slope(widths, np.mean(found, axis=1)) for way, found in sizes.items()}
    context.samples["coordinates"] = {"widths": widths, "slopes": slopes} | sizes
    context.guard(
        "flat_in_width",
        abs(slopes["muP"]),
        FLAT,
        "Slope, log size over log width, of what feed-forward layers add after ten steps in muP; "
        f"in the standard way {slopes['standard']:.2f}.",
    )


def _slope(widths: list[int], sizes: np.ndarray) -> float:
    return float(np.polyfit(np.log(widths), np.log(sizes), 1)[0])


def _sweep(context: Context, text: Text) -> Sweeps:
    cells = list(product(context["widths"], scaling.WAYS))
    total = sum(width**1.5 for width, _ in cells)
    done, sweeps = 0.0, {way: {} for way in scaling.WAYS}
    for width, way in cells:
        count = len(context["powers"]) * context["seeds"]
        context.progress(0.06 + 0.92 * done / total, f"width {width}, {way}: {count} models")
        sweeps[way][width] = sweeping.sweep(context, text, way, width)
        done += width**1.5
    context.samples["losses"] = {
        way: {str(width): _written(found) for width, found in by_width.items()}
        for way, by_width in sweeps.items()
    }
    return sweeps


def _written(found: Sweep) -> list[list[float | None]]:
    """(rates, seeds) losses; None where training diverged, which JSON can write."""
    return [[float(loss) if np.isfinite(loss) else None for loss in row] for row in found.losses]


def _measure(context: Context, sweeps: Sweeps, ceilings: Probe) -> None:
    """Measures mup_drift, standard_drift and transfers; guards that no best rate lies at the grid's end."""
    drifts = {way: drift(context["powers"], by_width) for way, by_width in sweeps.items()}
    best = {
        way: {str(width): context["powers"][found.best()] for width, found in by_width.items()}
        for way, by_width in sweeps.items()
    }
    every = [found for by_width in sweeps.values() for found in by_width.values()]
    used = ceilings.least_time(sum(found.flop for found in every)) / sum(found.seconds for found in every)
    ends = sum(
        power in (min(context["powers"]), max(context["powers"]))
        for p in best.values()
        for power in p.values()
    )
    context.guard(
        "inside_the_grid",
        ends if context.full else 0,
        0,
        f"Widths whose best rate lies at an end of the grid: {ends}; judged in the full preset only.",
    )
    context.measure(
        "mup_drift",
        drifts["muP"],
        predicted=0.0,
        predicted_note="In theory the best rate does not move.",
        detail={"best_power": best["muP"], "share_of_peak_rate": used},
    )
    span = max(context["widths"]) / min(context["widths"])
    context.measure(
        "standard_drift",
        drifts["standard"],
        predicted=float(np.log2(span)),
        predicted_note="In theory the best rate falls as one over the width in the end.",
        detail={"best_power": best["standard"]},
    )
    held, detail = order_holds(*_orderings(context, sweeps))
    context.measure("transfers", held, n=context["seeds"], detail=detail)


def drift(powers: list[int], by_width: dict[int, Sweep]) -> Interval:
    """Octaves between the best rates of the widest and the narrowest; seeds are resampled."""
    narrow, wide = by_width[min(by_width)], by_width[max(by_width)]
    count = narrow.losses.shape[1]

    def octaves(seeds: list[int]) -> float:
        return float(abs(powers[wide.best(seeds)] - powers[narrow.best(seeds)]))

    random = np.random.default_rng(0)
    spread = [octaves(random.integers(0, count, count).tolist()) for _ in range(DRAWS)]
    value, (low, high) = octaves(list(range(count))), np.quantile(spread, [0.025, 0.975])
    return Interval(value, min(value, float(low)), max(value, float(high)), count)


def _orderings(context: Context, sweeps: Sweeps) -> list[Pair]:
    powers, seeds = context["powers"], range(context["seeds"])
    ends = [
        (by_width[min(by_width)], by_width[max(by_width)]) for by_width in (sweeps["muP"], sweeps["standard"])
    ]
    ours, theirs = (
        [float(abs(powers[wide.best([s])] - powers[narrow.best([s])])) for s in seeds]
        for narrow, wide in ends
    )
    pairs = [
        Pair("the best rate moves less in muP", ours, theirs),
        Pair(f"it moves {MOVED:g} octaves in the standard way", [MOVED - 0.5] * len(seeds), theirs),
    ]
    rate = sweeps["muP"][min(context["widths"])].best()
    for narrow, wide in pairwise(sorted(context["widths"])):
        losses = [sweeps["muP"][width].losses[rate].tolist() for width in (wide, narrow)]
        pairs.append(Pair(f"muP: width {wide} below {narrow} at the narrowest one's rate", *losses))
    return pairs


def _charts(context: Context, sweeps: Sweeps) -> None:
    rates = [2.0**power for power in context["powers"]]
    for way, by_width in sweeps.items():
        lines = []
        for width, found in by_width.items():
            finite = [i for i, row in enumerate(found.losses) if np.isfinite(row).all()]
            values = [mean_of(found.losses[i].tolist()) for i in finite]
            lines.append(curve(f"width {width}", [rates[i] for i in finite], values))
        context.chart(
            f"loss_by_rate_{'mup' if way == 'muP' else 'standard'}",
            f"Loss by learning rate and width, {way}",
            ("Learning rate", "", True),
            ("Validation loss", "nats a byte", False),
            lines,
        )
    context.chart(
        "best_rate_by_width",
        "The best learning rate by width",
        ("Width", "", True),
        ("Best learning rate", "", True),
        [
            {"label": way, "x": [float(w) for w in found], "y": [rates[s.best()] for s in found.values()]}
            for way, found in sweeps.items()
        ],
    )
