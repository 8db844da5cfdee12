"""Plants duplicates, removes them in two ways, trains models of each corpus, and counts what they copy."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from reproduce.recipes.blocks import fleet_starts
from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.fleet_learning import Curves, Windows, random_windows, train
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, mean_of, ratio_of_medians
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import synchronise

from . import duplicates, planting, speaking

ARMS = ("as it is", "exact substrings removed", "near duplicates removed")
SEEDS = 3
RATE, BATCH = 2e-3, 32
MISSED_EXACT, WRONG_NEAR = 0.01, 0.05
NOT_WORSE = 0.02  # nats a byte
MEMORISED = 0.001  # of the text without a prompt: with less, a tenfold fall could not be seen
COPIES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # edges of the chart's bins


@dataclass(frozen=True)
class Cleaned:
    """A way of removing duplicates: the bytes left, and how long it took."""

    content: torch.Tensor
    seconds: float


def run(context: Context) -> None:
    """Reports seven measures, five guards and a chart."""
    context.progress(0.0, "asking what this hardware can do")
    ceilings = context.probe()
    planted = planting.plant(context["documents"], context["repeats"])
    context.data["corpus"] = {
        "generator": "blocks.grammar, version 1, seed 0",
        "documents": len(planted.documents),
        "unique": planted.unique,
        "copies_with_changes": int(planted.noisy.sum()),
    }
    documents = torch.from_numpy(planted.documents).to(context.device)
    context.progress(0.1, f"looking for duplicates in {documents.numel() / 1e6:.3g} MB")
    cleaned = clean(context, planted, documents)
    _measure_removal(context, planted, documents, cleaned, ceilings)
    _measure_overlap(context, planted, documents)
    contents = [documents.flatten(), *(found.content for found in cleaned.values())]
    fleet, curves = _train(context, planted, contents)
    context.progress(0.8, "letting the models speak")
    _measure_copies(context, planted, fleet, documents)
    _guard_quality(context, curves)
    context.progress(1.0, "done")


def clean(context: Context, planted: planting.Planted, documents: torch.Tensor) -> dict[str, Cleaned]:
    """Removes duplicates in both ways; guards what they found against what was planted."""
    repeated, spent = _timed(lambda: duplicates.repeated_substrings(documents), documents.device)
    exact = Cleaned(documents[~repeated], spent)
    labels, spent = _timed(lambda: duplicates.near_duplicates(documents), documents.device)
    kept = labels == torch.arange(len(documents), device=documents.device)
    near = Cleaned(documents[kept].flatten(), spent)
    copies = exact_copies(planted)
    missed = 1 - float(repeated.cpu().numpy()[copies].mean())
    context.guard("exact_recall", missed, MISSED_EXACT, "Share of bytes of exact copies that were not found.")
    found, truth = ~kept.cpu().numpy(), _later_copies(planted.origin)
    for name, wrong, what in (
        (
            "near_recall",
            1 - found[truth].mean(),
            "Share of planted copies, exact or not, that were not found.",
        ),
        (
            "near_precision",
            (found & ~truth).sum() / max(1, found.sum()),
            "Share of those found that are no copies.",
        ),
    ):
        context.guard(name, float(wrong), WRONG_NEAR, what)
    return {ARMS[1]: exact, ARMS[2]: near}


def exact_copies(planted: planting.Planted) -> np.ndarray:
    """(count,) whether a document stood there before, byte for byte."""
    seen: set[bytes] = set()
    return np.array(
        [row.tobytes() in seen or seen.add(row.tobytes()) is not None for row in planted.documents]
    )


def _later_copies(origin: np.ndarray) -> np.ndarray:
    first = np.zeros(len(origin), bool)
    first[np.unique(origin, return_index=True)[1]] = True
    return ~first


def _timed(work: Callable[[], torch.Tensor], device: torch.device) -> tuple[torch.Tensor, float]:
    if device.type == "cuda":
        work()  # warms up
    synchronise(device)
    begun = time.perf_counter()
    found = work()
    synchronise(device)
    return found, time.perf_counter() - begun


def _measure_removal(
    context: Context,
    planted: planting.Planted,
    documents: torch.Tensor,
    cleaned: Mapping[str, Cleaned],
    ceilings: Probe,
) -> None:
    """Measures removed_exact and removed_near."""
    size = documents.numel()
    for name, found in zip(("removed_exact", "removed_near"), cleaned.values(), strict=True):
        context.measure(
            name,
            1 - found.content.numel() / size,
            detail={
                "mb_per_s": size / found.seconds / 1e6,
                "share_of_copy_rate": ceilings.least_time(moved=2 * size) / found.seconds,
                "planted": float(_later_copies(planted.origin).mean()),
            },
        )


def _measure_overlap(context: Context, planted: planting.Planted, documents: torch.Tensor) -> None:
    """Measures overlap: validation documents that have a near duplicate among the training documents."""
    validation = torch.from_numpy(planted.validation).to(documents.device)
    labels = duplicates.near_duplicates(torch.cat((documents, validation)))
    found = (labels[len(documents) :] < len(documents)).float().mean()
    context.measure(
        "overlap", float(found), n=len(validation), detail={"planted": float(planted.overlaps.mean())}
    )


def _train(context: Context, planted: planting.Planted, contents: list[torch.Tensor]) -> tuple[Fleet, Curves]:
    """Three seeds of each corpus; the seeds of an arm follow each other."""
    width, steps, length = context["width"], context["steps"], context["length"]
    shape = Shape(context["layers"], width, max(1, width // 64), length, positions="learned")
    seeds, manner = list(range(SEEDS)) * len(ARMS), fleet_starts.manner(shape.layers)
    fleet = fleet_starts.place(Fleet(shape, seeds, context.device, manner))
    begins = np.cumsum([0] + [len(content) for content in contents])
    starts = [
        random_windows(len(content), steps, 1, BATCH, length, seed, int(begin))
        for content, begin in zip(contents, begins[:-1], strict=True)
        for seed in range(SEEDS)
    ]
    clean = planted.validation[~planted.overlaps]
    held_out = torch.from_numpy(clean[:, : length + 1].copy()).to(context.device).long()[None]
    windows = Windows(torch.cat(contents), torch.cat(starts, dim=1), (length,))
    curves = train(
        fleet,
        windows,
        Plan(steps=steps, rate=RATE, evaluations=4),
        [RATE] * fleet.count,
        evaluate=lambda models: models.evaluate(held_out),
        progress=lambda part: context.progress(0.2 + 0.6 * part, f"training {fleet.count} models"),
    )
    return fleet, curves


def _measure_copies(
    context: Context, planted: planting.Planted, fleet: Fleet, documents: torch.Tensor
) -> None:
    """Measures memorised_ratio, memorised_ratio_exact, memorised_frac and prompted_ratio."""
    known, device = speaking.known_spans(documents), context.device
    prompts, copies = _prompts(planted, context["samples"])
    begin = torch.full((context["samples"], 1), ord("\n"), device=device)
    shares: dict[str, list[float]] = {arm: [] for arm in ARMS}
    answers: dict[str, list[np.ndarray]] = {arm: [] for arm in ARMS}
    for index in range(fleet.count):
        arm, seed = ARMS[index // SEEDS], index % SEEDS
        model = fleet.member(index)
        said = speaking.speak(model, begin, context["length"] - 1, seed)
        shares[arm].append(speaking.share(speaking.copied(said, known).cpu().numpy()))
        answer = speaking.speak(model, torch.from_numpy(prompts).to(device), speaking.ANSWER, None)
        answers[arm].append(speaking.copied(answer, known).any(1).cpu().numpy())
    prompted = {arm: [speaking.share(found) for found in answers[arm]] for arm in ARMS}
    context.samples["copied"] = {"unprompted": shares, "prompted": prompted}
    context.measure("memorised_ratio", ratio_of_medians(shares[ARMS[0]], shares[ARMS[2]]), detail=shares)
    context.measure("memorised_ratio_exact", ratio_of_medians(shares[ARMS[0]], shares[ARMS[1]]))
    context.measure("memorised_frac", mean_of(shares[ARMS[0]]))
    guard_memorised(context, shares[ARMS[0]])
    context.measure("prompted_ratio", ratio_of_medians(prompted[ARMS[0]], prompted[ARMS[2]]), detail=prompted)
    _chart(context, copies, answers)


def _prompts(planted: planting.Planted, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Beginnings of `count` different documents, the most repeated first, and how often each is there."""
    _, first, copies = np.unique(planted.origin, return_index=True, return_counts=True)
    chosen = np.argsort(-copies, kind="stable")[:count]
    return planted.documents[first[chosen]][:, : speaking.PROMPT].copy(), copies[chosen]


def guard_memorised(context: Context, shares: Sequence[float]) -> None:
    """Guards memorised: models of the corpus as it is copy enough of it for a fall to be seen."""
    copied = float(np.median(shares))
    context.guard(
        "memorised",
        MEMORISED / copied if context.full else 0.0,
        1.0,
        f"A thousandth over the share that models of the corpus as it is copy, {copied:.2g}; "
        "judged in the full preset only.",
    )


def _guard_quality(context: Context, curves: Curves) -> None:
    losses = curves.final.view(len(ARMS), SEEDS)
    context.samples["validation_loss"] = dict(zip(ARMS, losses.tolist(), strict=True))
    worse = (losses[1:].mean(1) - losses[0].mean()).max().item()
    context.guard(
        "not_worse",
        worse if context.full else 0.0,
        NOT_WORSE,
        f"Validation loss without duplicates minus that with them, nats a byte, the larger: {worse:.4f}; "
        "judged in the full preset only.",
    )


def _chart(context: Context, copies: np.ndarray, answers: Mapping[str, list[np.ndarray]]) -> None:
    bins = np.digitize(copies, COPIES)
    there = np.unique(bins)
    middle = [float(copies[bins == at].mean()) for at in there]

    def rates(arm: str) -> list[Interval]:
        return [mean_of([found[bins == at].mean() for found in answers[arm]]) for at in there]

    context.chart(
        "copied_by_repeats",
        "Answers that are copied, by how often the document was repeated",
        ("Copies in the corpus", "", True),
        ("Prompts answered with training text", "fraction", False),
        [curve(arm, middle, rates(arm)) for arm in ARMS],
    )
