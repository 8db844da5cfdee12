"""Selects data for each of many targets out of one pool, and asks what models of the selections learnt."""

import time
from dataclasses import dataclass

import numpy as np

from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import CONFIDENCE, RESAMPLES, SEED, Interval, mean_of, median_of

from . import domains, judging, selection

WAYS = ("DSIR", "classifier", "random")
PILE_BYTES, PILE_CORES = 1.2e12, 96  # of the claim's own time, in the official README
TIMED = 5
SWEEP = (0.25, 0.5, 1.0, 2.0, 4.0)  # selected documents, relative to the target's share of the pool


@dataclass(frozen=True)
class Pool:
    """Documents to choose from, which domain each is of, their features; and each target's features."""

    targets: list[domains.Domain]
    documents: np.ndarray
    owners: np.ndarray
    features: selection.Features
    wanted: list[selection.Features]
    judge: list[np.ndarray]


@dataclass(frozen=True)
class Choice:
    """What was selected for a target with a seed: its share of the target's domain and its divergence."""

    chosen: np.ndarray
    share: float
    divergence: float


def run(context: Context) -> None:
    """Reports six measures, three guards and two charts."""
    context.progress(0.0, "asking what this hardware can do")
    context.probe()
    context.progress(0.1, "collecting documents")
    pool = _collect(context)
    weights = [selection.log_weights(pool.features, wanted.total) for wanted in pool.wanted]
    context.progress(0.15, "selecting")
    chosen = _select(context, pool, weights)
    _guard(context, chosen, weights)
    losses = _judge(context, pool, chosen)
    _measure(context, pool, chosen, losses)
    _measure_speed(context, pool)
    _chart_sweep(context, pool, weights)
    context.progress(1.0, "done")


def _collect(context: Context) -> Pool:
    size = context["documents"]
    targets, general = domains.collect(context["targets"], size, max(4, size // 5), max(4, 3 * size // 10))
    context.data.update(domains.record(targets, general))
    documents = np.concatenate([target.pool for target in targets] + [general])
    owners = np.repeat(np.arange(len(targets) + 1), [size] * len(targets) + [len(general)])
    wanted = [selection.features(target.wanted) for target in targets]
    judge = [selection.features(target.judge).total for target in targets]
    return Pool(targets, documents, owners, selection.features(documents), wanted, judge)


def _select(context: Context, pool: Pool, weights: list[np.ndarray]) -> dict[str, list[list[Choice]]]:
    """For each way, seed and target, as many documents as the pool holds of each target."""
    count, seeds, targets = context["documents"], range(context["seeds"]), range(len(pool.targets))
    top = selection.classified(pool.features, pool.wanted, count)
    some = [np.random.default_rng(seed).permutation(pool.features.count)[:count] for seed in seeds]
    return {
        "DSIR": [
            [_choice(pool, t, selection.resample(weights[t], count, seed)) for t in targets] for seed in seeds
        ],
        "classifier": [[_choice(pool, t, top[t]) for t in targets] for _ in seeds],
        "random": [[_choice(pool, t, some[seed]) for t in targets] for seed in seeds],
    }


def _choice(pool: Pool, target: int, chosen: np.ndarray) -> Choice:
    share = float((pool.owners[chosen] == target).mean())
    return Choice(chosen, share, selection.divergence(pool.judge[target], pool.features.part(chosen)))


def _guard(context: Context, chosen: dict[str, list[list[Choice]]], weights: list[np.ndarray]) -> None:
    every = [choice.chosen for runs in chosen.values() for run in runs for choice in run]
    twice = max(len(found) - len(set(found.tolist())) for found in every)
    context.guard("no_duplicates", twice, 0, "Documents that a selection holds more than once, at most.")
    bad = sum(int((~np.isfinite(found)).sum()) for found in weights)
    context.guard("finite_weights", bad, 0, "Importance weights that are not finite.")
    again = selection.resample(weights[0], len(every[0]), 0)
    differ = int((again != chosen["DSIR"][0][0].chosen).sum())
    context.guard(
        "repeatable", differ, 0, "Documents that the same seed selects differently when asked again."
    )


def _judge(context: Context, pool: Pool, chosen: dict[str, list[list[Choice]]]) -> dict[str, np.ndarray]:
    """(seeds, targets) losses of each way's models, each on its own target."""
    count, found = len(pool.targets), {way: [] for way in WAYS}
    judges = [target.judge for target in pool.targets]
    for seed in range(context["seeds"]):
        context.progress(0.25 + 0.65 * seed / context["seeds"], f"{2 * count + 1} models, seed {seed + 1}")
        picks = [choice.chosen for way in WAYS[:2] for choice in chosen[way][seed]]
        picks.append(chosen["random"][seed][0].chosen)  # one for all targets
        parts = [pool.documents[pick] for pick in picks]
        for way, losses in zip(
            WAYS, judging.losses(context, parts, judges, seed).reshape(3, -1), strict=True
        ):
            found[way].append(losses)
    return {way: np.array(values) for way, values in found.items()}


def _measure(
    context: Context, pool: Pool, chosen: dict[str, list[list[Choice]]], losses: dict[str, np.ndarray]
) -> None:
    """Measures kl_correlation, better_model, loss_gain, share_of_target and share_of_target_classifier."""
    divergences = {way: np.array([[c.divergence for c in run] for run in chosen[way]]) for way in WAYS}
    shares = {way: np.array([[c.share for c in run] for run in chosen[way]]) for way in WAYS}
    reductions = {way: (divergences["random"] - divergences[way]).mean(0) for way in WAYS[:2]}
    gains = {way: (losses["random"] - losses[way]).mean(0) for way in WAYS[:2]}
    names = [target.name for target in pool.targets]
    context.samples["targets"] = {"names": names} | {
        way: {part: found[way].tolist() for part, found in _parts(losses, divergences, shares)}
        for way in WAYS
    }
    stacked = (np.stack([found[way] for way in WAYS[:2]]) for found in (reductions, gains))
    context.measure(
        "kl_correlation",
        correlation(*stacked),
        predicted_note="Not a matter of hardware.",
        detail={"points": f"{2 * len(names)}: {len(names)} targets, DSIR and classifier"},
    )
    mean = {way: found.mean(0) for way, found in losses.items()}
    held, detail = order_holds(
        Pair("DSIR below random", mean["DSIR"], mean["random"]),
        Pair("DSIR below classifier", mean["DSIR"], mean["classifier"]),
    )
    context.measure("better_model", held, n=len(names), detail=detail)
    context.measure("loss_gain", mean_of(-gains["DSIR"]), detail=dict(zip(names, gains["DSIR"], strict=True)))
    for way, name in (("DSIR", "share_of_target"), ("classifier", "share_of_target_classifier")):
        context.measure(name, mean_of(shares[way].mean(0)), detail={"random": float(shares["random"].mean())})
    order = {way: np.argsort(reductions[way]) for way in WAYS[:2]}
    context.chart(
        "gain_by_divergence",
        "What the model gains by how much nearer the selection is to the target",
        ("KL reduction", "nats", False),
        ("Gain over random selection", "nats a byte", False),
        [
            {"label": way, "x": reductions[way][at].tolist(), "y": gains[way][at].tolist()}
            for way, at in order.items()
        ],
    )


def _parts(*found: dict[str, np.ndarray]) -> list[tuple[str, dict[str, np.ndarray]]]:
    return list(zip(("losses", "divergences", "shares"), found, strict=True))


def correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """Pearson's r of (ways, targets) arrays; targets are resampled, with all ways of each."""
    count = x.shape[1]
    draws = np.random.default_rng(SEED).integers(0, count, (RESAMPLES, count))
    spread = [np.corrcoef(x[:, d].ravel(), y[:, d].ravel())[0, 1] for d in draws if len(set(d)) > 2]
    low, high = np.quantile(spread, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value = float(np.corrcoef(x.ravel(), y.ravel())[0, 1])
    return Interval(value, min(value, float(low)), max(value, float(high)), count)


def _measure_speed(context: Context, pool: Pool) -> None:
    """Measures pile_time: features, weights and resampling of the pool on one core, scaled to the Pile."""
    context.progress(0.92, "timing the selection on one core")
    seconds = []
    for turn in range(TIMED):
        begun = time.process_time()
        features = selection.features(pool.documents)
        selection.resample(selection.log_weights(features, pool.wanted[0].total), context["documents"], turn)
        seconds.append(time.process_time() - begun)
    context.samples["seconds_of_selection"] = seconds
    scale = PILE_BYTES / pool.documents.size / PILE_CORES
    context.measure(
        "pile_time",
        median_of([scale * value for value in seconds]),
        predicted_note="Hashing reads each byte once; its prefix sums move a hundred bytes for each.",
        detail={
            "mb_per_s_and_core": pool.documents.size / float(np.median(seconds)) / 1e6,
            "mb_per_s_and_core_of_the_claim": PILE_BYTES / 16092 / PILE_CORES / 1e6,
        },
    )


def _chart_sweep(context: Context, pool: Pool, weights: list[np.ndarray]) -> None:
    counts = [max(1, round(part * context["documents"])) for part in SWEEP]
    targets = range(len(pool.targets))
    values = [
        mean_of([_choice(pool, t, selection.resample(weights[t], count, seed=0)).share for t in targets])
        for count in counts
    ]
    context.chart(
        "share_by_count",
        "Share of the target's domain by number of selected documents",
        ("Selected documents", "", True),
        ("Share of the target's domain", "", False),
        [curve("DSIR", counts, values)],
    )
