"""How much worse a small byte model learns with an exchanged part: two arms, equal searches, seeds."""

from collections.abc import Callable, Mapping
from functools import partial

from reproduce.recipes import corpora
from reproduce.recipes.blocks.learning import Curve, Plan, train, validation_loss
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

VERSION = 1
RATES, SEEDS, TUNING_SEED = (1e-3, 3e-3), 3, 100  # as many learning rates tried for both, on a seed apart
CORPUS_BYTES, HELD_OUT = 3_000_000, 32


def measure_gap(
    context: Context,
    build: Mapping[str, Callable[[int], TinyGPT]],
    steps: int,
    sequences: int,
    begin: float,
) -> None:
    """Measures `quality_gap`: the second arm's validation loss less the first's, in nats a byte; charts both.

    `build` makes an arm's model from a seed; progress runs from `begin` to one.
    """
    corpus = corpora.code(CORPUS_BYTES)
    context.data["training"] = corpus.record()
    text, tried, rates, runs = Text.of(corpus, context.device), {}, {}, {}
    for number, (arm, make) in enumerate(build.items()):
        context.progress(begin + (1 - begin) * number / len(build), f"learning bytes, {arm}")
        learn = partial(_learn, context, text, make, steps, sequences)
        tried[arm] = {rate: learn(rate, TUNING_SEED).final for rate in RATES}
        rates[arm] = min(tried[arm], key=tried[arm].__getitem__)
        runs[arm] = [learn(rates[arm], seed) for seed in range(SEEDS)]
    context.samples["quality"] = {arm: [run.validation for run in found] for arm, found in runs.items()}
    finals = {arm: [run.final for run in found] for arm, found in runs.items()}
    gaps = [ours - theirs for theirs, ours in zip(*finals.values(), strict=True)]
    tables = {arm: {f"{rate:g}": loss for rate, loss in each.items()} for arm, each in tried.items()}
    detail = {"nats_per_byte": finals, "learning_rates": rates, "tried": tables}
    context.measure("quality_gap", mean_of(gaps), detail=detail)
    marks = next(iter(runs.values()))[0].marks
    lines = [
        curve(arm, marks, [mean_of(at) for at in zip(*(run.validation for run in found), strict=True)])
        for arm, found in runs.items()
    ]
    axes = ("Step", "", False), ("Validation loss", "nats a byte", False)
    context.chart("quality", "Validation loss of small byte models", *axes, lines)


def _learn(
    context: Context,
    text: Text,
    make: Callable[[int], TinyGPT],
    steps: int,
    sequences: int,
    rate: float,
    seed: int,
) -> Curve:
    model = make(seed).to(context.device)
    length = model.shape.length
    judge = partial(validation_loss, batch=text.held_out(HELD_OUT, length))
    plan = Plan(steps, rate, seed)
    return train(model, lambda step, generator: text.draw(sequences, length, generator), plan, judge)
