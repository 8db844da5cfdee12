"""Trains at constant and at rising sequence lengths, over rates and seeds; tokens and time to a loss."""

from math import isfinite

from reproduce.recipes import corpora
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, mean_of

from . import schedule, training
from .training import Arm

CORPUS_BYTES = 6_000_000
LABELS = ("constant length", "rising length")


def run(context: Context) -> None:
    """Reports five measures, two guards and two charts."""
    context.progress(0.0, "asking what this hardware can do")
    context.probe()
    corpus = corpora.code(CORPUS_BYTES)
    context.data["corpus"] = corpus.record()
    text = Text.of(corpus, context.device)
    arms = train(context, text)
    guard(context, text, arms)
    _measure(context, arms)
    _charts(context, arms)


def train(context: Context, text: Text) -> dict[str, Arm]:
    """Both schedules, for as many tokens."""
    full, steps = context["context"], context["steps"]
    constant = schedule.constant(full, steps)
    rising = schedule.rising(full, constant.tokens(steps))
    found = {}
    for label, lengths, share in zip(LABELS, (constant, rising), ((0.1, 0.55), (0.55, 0.98)), strict=True):
        context.progress(share[0], f"{label}: {len(lengths.each)} steps")
        found[label] = training.learn(context, text, lengths, f"training at {label}", share)
    return found


def guard(context: Context, text: Text, arms: dict[str, Arm]) -> None:
    """Guards that both schedules saw the same windows, as many tokens, and are judged at the full context."""
    constant, rising = (arms[label] for label in LABELS)
    steps = min(len(constant.starts), len(rising.starts))
    differ = int((constant.starts[:steps] != rising.starts[:steps]).sum())
    context.guard("same_order", differ, 0, "Windows that begin elsewhere in the other schedule's training.")
    missing = context["context"] + 1 - training.judged_on(context, text).shape[1]
    context.guard("full_context", missing, 0, "Tokens that the judged windows lack of the full context.")
    given = [arm.lengths.tokens(len(arm.lengths.each)) for arm in (constant, rising)]
    limit = context["context"] / given[0]
    off = abs(given[1] / given[0] - 1)
    context.guard("same_tokens", off, limit, "Relative difference of the tokens given; at most a step's.")


def _measure(context: Context, arms: dict[str, Arm]) -> None:
    """Measures token_gain, time_gain, rate_gain, and unstable_constant and unstable_rising."""
    constant, rising = (arms[label] for label in LABELS)
    seeds, best = range(context["seeds"]), {label: arm.best() for label, arm in arms.items()}
    paths = [[arm.path(best[label], seed) for seed in seeds] for label, arm in arms.items()]
    context.samples["validation"] = {
        label: {
            f"{rate:g}": [_written(arm.path(index, seed)) for seed in seeds]
            for index, rate in enumerate(arm.rates)
        }
        for label, arm in arms.items()
    }
    tokens, seconds = (
        mean_of([training.gain(a, b, column) for a, b in zip(*paths, strict=True)]) for column in (1, 2)
    )
    finals = {label: [path[-1][0] for path in found] for label, found in zip(LABELS, paths, strict=True)}
    detail = {
        "best_rate": {label: arm.rates[best[label]] for label, arm in arms.items()},
        "final_loss": finals,
    }
    context.measure("token_gain", tokens, detail=detail, predicted_note="Not a matter of hardware.")
    share = attention_share(context["context"], context["width"])
    context.measure(
        "time_gain",
        seconds,
        predicted=tokens.value / (1 - share),
        predicted_note=f"Attention is {share:.0%} of the FLOP at the full context, so time can gain at most "
        f"{1 / (1 - share):.2f} x more than tokens do; the claimed 3.7 x needs a gain in tokens too.",
        detail={"fleet_seconds": {label: arm.curves.seconds[-1] for label, arm in arms.items()}},
    )
    stable = {label: [arm.largest_stable(seed) for seed in seeds] for label, arm in arms.items()}
    ratios = [b / a for a, b in zip(stable[LABELS[0]], stable[LABELS[1]], strict=True)]
    context.measure(
        "rate_gain",
        mean_of(ratios),
        detail={"largest_stable": stable, "largest_tried": max(constant.rates)},
    )
    for name, arm in (("unstable_constant", constant), ("unstable_rising", rising)):
        context.measure(name, _unstable(arm))


def attention_share(length: int, width: int) -> float:
    """Of the FLOP of a layer, causal: 2 T d against 24 d^2. Source: RECIPES."""
    return 2 * length * width / (24 * width**2 + 2 * length * width)


def _written(path: training.Path) -> list[list[float | None]]:
    """The same in JSON, which has no word for what is no number."""
    return [[value if isfinite(value) else None for value in point] for point in path]


def _unstable(arm: Arm) -> Interval:
    """Share of rates at which training diverged; the interval is over seeds."""
    rates = range(len(arm.rates))
    return mean_of([sum(arm.diverged(r, s) for r in rates) / len(arm.rates) for s in range(arm.seeds)])


def _charts(context: Context, arms: dict[str, Arm]) -> None:
    seeds = range(context["seeds"])
    lines, sweeps = [], []
    for label, arm in arms.items():
        paths = [arm.path(arm.best(), seed) for seed in seeds]
        tokens = [point[1] * context["batch"] for point in paths[0]]
        losses = [mean_of([path[mark][0] for path in paths]) for mark in range(len(tokens))]
        lines.append(curve(label, tokens, losses))
        finals = [[arm.final(rate, seed) for seed in seeds] for rate in range(len(arm.rates))]
        kept = [rate for rate, values in enumerate(finals) if all(map(isfinite, values))]
        sweeps.append(
            curve(label, [arm.rates[rate] for rate in kept], [mean_of(finals[rate]) for rate in kept])
        )
    y = ("Validation loss at the full context", "nats a byte", False)
    context.chart(
        "loss_by_tokens", "Loss by tokens, at each schedule's best rate", ("Tokens", "", True), y, lines
    )
    context.chart("loss_by_rate", "Final loss by learning rate", ("Learning rate", "", True), y, sweeps)
