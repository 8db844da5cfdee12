"""What the sweeps say: excess loss of shapes, power laws, and the guards that make them believable."""

from collections.abc import Mapping

import numpy as np

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import mean_of

from . import ladder
from .learning import best_of
from .sweeps import Shapes, Sweep

EXCESS = 0.03
BAR_FROM = 1e6  # models of fewer parameters need not beat an n-gram model


def shape(context: Context, found: Shapes, of_size: Sweep) -> None:
    """Measures the largest excess loss over shapes, seed by seed, corrected for unequal parameters."""
    losses = found.corrected(mean_of(of_size.exponents()).value)
    best, worst = losses.mean(axis=1).argmin(), losses.mean(axis=1).argmax()
    context.measure(
        "shape_excess",
        mean_of((losses[worst] / losses[best] - 1).tolist()),
        detail={
            "parameters": [ladder.parameters(each) for each in found.shapes],
            "aspect_ratios": [ladder.aspect(each) for each in found.shapes],
            "mean_losses": np.mean(found.losses, axis=1).tolist(),
            "best_rate_multiples": [best_of(tried) for tried in found.by_rate],
        },
    )
    ratios = [ladder.aspect(each) for each in found.shapes]
    context.chart(
        "shape",
        "Excess loss over the best shape at equal parameters",
        ("Width over layers", "", True),
        ("Excess loss", "fraction", False),
        [
            curve("measured", ratios, [mean_of((row / losses[best] - 1).tolist()) for row in losses]),
            level("claimed by the paper", ratios, EXCESS),
        ],
    )
    context.samples["shapes"] = {
        f"{each.layers} x {each.width}": {
            "seeds": seeds,
            "by_rate": {f"{multiple:g}": loss for multiple, loss in tried.items()},
        }
        for each, seeds, tried in zip(found.shapes, found.losses, found.by_rate, strict=True)
    }


def law(context: Context, name: str, found: Sweep, axis: tuple[str, str, bool], title: str) -> None:
    """Measures the exponent and the straightness of a sweep; charts it beside its own power law."""
    exponents = found.exponents()
    floor, without = _above_a_floor(found)
    detail = {"above_a_floor_of": floor, "exponent_above_it": without, "rate_multiples": found.multiples}
    context.measure(f"exponent_{name}", mean_of(exponents), detail=detail)
    context.measure(f"straightness_{name}", found.straightness(), n=len(found.x))
    power, offset = np.polyfit(np.log(found.x), np.log(found.means()), 1)
    fitted = np.exp(offset + power * np.log(found.x)).tolist()
    context.chart(
        name,
        title,
        axis,
        ("Held-out loss", "nats a byte", True),
        [
            curve("measured", found.x, [mean_of(losses) for losses in found.losses]),
            {"label": f"power law, exponent {-power:.3f}", "x": found.x, "y": fitted},
        ],
    )
    context.samples[name] = {"x": found.x, "losses": found.losses}


def believable(
    context: Context, of_size: Sweep, of_shape: Shapes, of_share: Sweep, bars: Mapping[int, float]
) -> None:
    """Guards finite gradients; on the full preset also that models know more than counts of bytes in a row.

    `bars` are nats a byte of Kneser-Ney models by their order, 3 and 5.
    """
    norms = np.array([*of_size.norms, *of_shape.norms, *of_share.norms])
    overflown = int((~np.isfinite(norms)).sum())
    context.guard("gradients", overflown, 0, "Groups of runs in which a gradient's norm was not finite.")
    context.data["kneser_ney"] = {f"{order} bytes": bar for order, bar in bars.items()}
    if context.full:  # a few steps beat nothing
        large = [losses for x, losses in zip(of_size.x, of_size.losses, strict=True) if x >= BAR_FROM]
        found = np.array([*large, *of_shape.losses])
        worst, best = float(found.max()), float(found.mean(axis=1).min())
        what = f"loss of shapes, and sizes from {BAR_FROM:,.0f} parameters on, against Kneser-Ney's"
        context.guard("beats_three_gram", worst, bars[3], f"Largest {what} with three bytes.")
        context.guard("beats_five_gram", best, bars[5], f"Least {what} with five bytes.")


def _above_a_floor(found: Sweep) -> tuple[float, float]:
    """The constant which, taken off the losses, leaves the straightest line, and that line's exponent."""
    means = found.means()
    floors = np.linspace(0, means.min() * 0.95, 96)
    rest = [np.log(means - floor) for floor in floors]
    across = np.log(found.x)
    best = int(np.argmin([np.corrcoef(across, each)[0, 1] for each in rest]))
    return float(floors[best]), -float(np.polyfit(across, rest[best], 1)[0])
