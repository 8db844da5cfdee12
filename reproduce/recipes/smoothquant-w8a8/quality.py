"""What static int8 costs a small model with planted outliers, smoothed and not, by their size, over seeds."""

import copy

from reproduce.recipes.blocks import outliers
from reproduce.recipes.blocks.teacher import Teacher, teacher
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from . import smoothing

GAINS = (1, 20, 60, 300)
MAIN = 60
OUTLIERS = {"smoke": 1, "full": 4}
CALIBRATION = 32
KEPT = 0.01  # nats a byte: RECIPES
EXACT = 1e-6


def measure(context: Context) -> None:
    """Measures loss_smoothed and loss_naive; charts both over the gain."""
    made = teacher(context, 0.55, 0.8)
    guard(context, made)
    seeds = context["seeds"]
    dense = [made.loss(made.model, seed, seeds) for seed in range(seeds)]
    found: dict[int, dict[str, list[float]]] = {}
    for index, gain in enumerate(GAINS):
        context.progress(0.8 + 0.2 * index / len(GAINS), f"int8 with outliers {gain} times as large")
        found[gain] = {"naive": [], "smoothed": []}
        for seed, base in enumerate(dense):
            planted = outliers.plant(made.model, gain, OUTLIERS[context.preset], seed)
            tokens = made.calibration(seed, CALIBRATION)
            for name, model in (("naive", planted), ("smoothed", smoothing.smooth(planted, tokens))):
                loss = made.loss(smoothing.in_int8(model, tokens), seed, seeds)
                found[gain][name].append(loss - base)
    context.samples["added_loss"] = {str(gain): losses for gain, losses in found.items()}
    context.measure(
        "loss_smoothed", mean_of(found[MAIN]["smoothed"]), detail={"gain": MAIN, "kept_below": KEPT}
    )
    context.measure("loss_naive", mean_of(found[MAIN]["naive"]), detail={"gain": MAIN})
    context.chart(
        "added_loss",
        "Loss that static int8 adds to a small model, by the size of planted outliers",
        ("Outliers larger by", "x", True),
        ("Added validation loss", "nats a byte", False),
        [
            curve(name, GAINS, [mean_of(found[gain][name]) for gain in GAINS])
            for name in ("naive", "smoothed")
        ],
    )


def guard(context: Context, made: Teacher) -> None:
    """Guards that neither planting nor smoothing changes what the model computes."""
    tokens = made.calibration(0, 8)
    planted = outliers.plant(made.model, MAIN, OUTLIERS[context.preset], 0)
    context.guard(
        "planted_same",
        outliers.difference(made.model, planted, tokens),
        outliers.UNCHANGED,
        "Largest difference of the logits with planted outliers, in fp32, relative to the largest logit.",
    )
    smoothed = smoothing.smooth(planted, tokens)
    context.guard(
        "smoothed_same",
        outliers.difference(copy.deepcopy(planted).double(), smoothed.double(), tokens),
        EXACT,
        "The same after smoothing; fp32 weights, products in fp64.",
    )
