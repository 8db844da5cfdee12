"""Prunes by the teacher's margin, trains students of largest margin, holds their errors against theory."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise, product
from math import log, log2

import numpy as np
import torch

from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, mean_of

from . import perceptron, theory

SHARES = (0.1, 0.25, 0.5, 0.75)
FRONTIER = (1.0, 2.0, 4.0)  # kept examples a dimension; then the smallest share ends the frontier
STEEP = -1.5
NEAR = 0.15  # of theory, the median cell
EXACT = 1e-3  # of a student's objective
Cell = tuple[int, float, str]


def run(context: Context) -> None:
    """Reports four measures, three guards and two charts."""
    context.progress(0.0, "asking what this hardware can do")
    context.probe()
    errors = _learn(context)
    context.progress(0.9, "the same errors in theory")
    expected = _expect(errors)
    context.samples["errors"] = [
        {"alpha": a, "share": f, "way": way, "errors": errors[a, f, way], "theory": expected[a, f, way]}
        for a, f, way in errors
    ]
    _guard_theory(context, errors, expected)
    _measure_inversion(context, errors)
    _measure_frontier(context, errors, expected)
    _charts(context, errors, expected)


def _learn(context: Context) -> dict[Cell, list[float]]:
    """Test errors of each cell, one a seed; guards that the students have the largest margin."""
    errors: dict[Cell, list[float]] = {
        cell: [] for cell in product(context["alphas"], SHARES, perceptron.WAYS)
    }
    gaps = []
    with _alone() as pool:
        for alpha in context["alphas"]:
            context.progress(0.05 + 0.85 * alpha / sum(context["alphas"]), f"{alpha} examples a dimension")
            jobs = [pool.submit(students, context["size"], alpha, seed) for seed in range(context["seeds"])]
            for found in (job.result() for job in jobs):
                for (share, way), (error, gap) in found.items():
                    errors[alpha, share, way].append(error)
                    gaps.append(gap)
    context.guard(
        "largest_margin",
        max(gaps),
        EXACT,
        "Largest relative gap between primal and dual objective of a student: no margin can be much larger.",
    )
    return errors


def _expect(cells: Iterable[Cell]) -> dict[Cell, float]:
    """The error of each cell in theory."""
    with _alone() as pool:
        jobs = {cell: pool.submit(theory.error, cell[0] * cell[1], cell[2], cell[1]) for cell in cells}
        return {cell: job.result() for cell, job in jobs.items()}


@contextmanager
def _alone() -> Iterator[ThreadPoolExecutor]:
    """Workers that compute on one thread each: what they compute is too small to be shared out."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield pool
    torch.set_num_threads(threads)


def students(size: int, alpha: int, seed: int) -> dict[tuple[float, str], tuple[float, float]]:
    """Test error and duality gap of the student of each share and way, all from one pool of examples."""
    signed, teacher = perceptron.examples(size, alpha, seed)
    found = {}
    for way in perceptron.WAYS:
        student = None
        for share in SHARES:  # rising: what is kept contains what was kept before
            kept = perceptron.pruned(signed, teacher, way, share)
            student = perceptron.largest_margin(kept, teacher, student)
            found[share, way] = (student.error(teacher), student.gap)
    return found


def _guard_theory(context: Context, errors: dict[Cell, list[float]], expected: dict[Cell, float]) -> None:
    off = {cell: abs(float(np.mean(found)) / expected[cell] - 1) for cell, found in errors.items()}
    for name, ways in (("theory_random", ("random",)), ("theory_pruned", ("hard", "easy"))):
        chosen = [value for cell, value in off.items() if cell[2] in ways]
        context.guard(
            name,
            float(np.median(chosen)),
            NEAR,
            f"Median difference of mean errors to the theory of infinitely many dimensions, {len(chosen)} "
            f"cells, {' and '.join(ways)}; the largest is {max(chosen):.1%}.",
        )


def _measure_inversion(context: Context, errors: dict[Cell, list[float]]) -> None:
    """Measures inversion: hard examples are the ones to keep of many, and easy ones of few."""
    few, many = min(context["alphas"]), max(context["alphas"])
    pairs = [
        Pair(
            f"hard below random, {many} a dimension, kept {f:g}",
            errors[many, f, "hard"],
            errors[many, f, "random"],
        )
        for f in SHARES
    ] + [
        Pair(
            f"easy below hard, {few} a dimension, kept {f:g}", errors[few, f, "easy"], errors[few, f, "hard"]
        )
        for f in SHARES
    ]
    held, detail = order_holds(*pairs)
    context.measure("inversion", held, n=context["seeds"], detail=detail)


def _measure_frontier(context: Context, errors: dict[Cell, list[float]], expected: dict[Cell, float]) -> None:
    """Measures frontier_slope and random_slope, and beyond_power_law: the frontier's slope steepens."""
    best = np.array([_frontier(errors, kept, ("random", "hard")) for kept in FRONTIER])
    early, late = ((np.log(b) - np.log(a)) / log(2) for a, b in pairwise(best))
    plain = np.array([_frontier(errors, kept, ("random",)) for kept in FRONTIER])
    ordinary = np.log(plain[-1] / plain[-2]) / log(2)
    limits = [
        [_limit(expected, kept, ways) for kept in FRONTIER[-2:]] for ways in (("random", "hard"), ("random",))
    ]
    held, detail = order_holds(
        Pair(f"frontier's slope below {STEEP}", late, np.full_like(late, STEEP)),
        Pair("steeper than before", late, early),
        Pair("steeper than random pruning", late, ordinary),
    )
    context.measure("beyond_power_law", held, n=len(late), detail=detail)
    note = "The same two points of the same grid for infinitely many dimensions."
    for name, slopes, limit in (("frontier_slope", late, limits[0]), ("random_slope", ordinary, limits[1])):
        context.measure(name, mean_of(slopes), predicted=log2(limit[1] / limit[0]), predicted_note=note)


def _frontier(errors: dict[Cell, list[float]], kept: float, ways: tuple[str, ...]) -> list[float]:
    """Errors, one a seed, of the cell that is best on average among those that keep at most `kept`."""
    return min((found for cell, found in _affordable(errors, kept, ways)), key=np.mean)


def _limit(expected: dict[Cell, float], kept: float, ways: tuple[str, ...]) -> float:
    return min(found for cell, found in _affordable(expected, kept, ways))


def _affordable(cells: dict[Cell, object], kept: float, ways: tuple[str, ...]) -> list[tuple[Cell, object]]:
    return [(cell, found) for cell, found in cells.items() if cell[0] * cell[1] <= kept and cell[2] in ways]


def _charts(context: Context, errors: dict[Cell, list[float]], expected: dict[Cell, float]) -> None:
    lines = [_line(context, errors, f"hard, kept {f:g}", f, "hard") for f in SHARES]
    everything = sorted((cell for cell in errors if cell[2] == "random"), key=lambda c: c[0] * c[1])
    at = [cell[0] * cell[1] for cell in everything]
    lines.insert(0, curve("random", at, [mean_of(errors[cell]) for cell in everything]))
    lines.append({"label": "random, theory", "x": at, "y": [expected[cell] for cell in everything]})
    smallest = [(a * SHARES[0], expected[a, SHARES[0], "hard"]) for a in context["alphas"]]
    x, y = zip(*smallest, strict=True)
    lines.append({"label": f"hard, kept {SHARES[0]:g}, theory", "x": list(x), "y": list(y)})
    axis = ("Kept examples a dimension", "", True)
    context.chart(
        "error_by_kept", "Test error by the number of kept examples", axis, ("Test error", "", True), lines
    )
    for alpha, name in ((min(context["alphas"]), "few"), (max(context["alphas"]), "many")):
        context.chart(
            f"inversion_{name}",
            f"Which to keep of {name} examples: {alpha} a dimension",
            ("Share kept", "", False),
            ("Test error", "", True),
            [curve(way, SHARES, [mean_of(errors[alpha, f, way]) for f in SHARES]) for way in perceptron.WAYS],
        )


def _line(
    context: Context, errors: dict[Cell, list[float]], label: str, share: float, way: str
) -> dict[str, object]:
    values: list[Interval] = [mean_of(errors[alpha, share, way]) for alpha in context["alphas"]]
    return curve(label, [alpha * share for alpha in context["alphas"]], values)
