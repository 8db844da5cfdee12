"""Exponents with intervals, what Kaplan's exponent would have cost, and the charts."""

from typing import Any

import numpy as np

from reproduce.recipes.context import Context
from reproduce.recipes.roofline import Probe

from . import fitting, grid
from .fitting import Optimum, Point
from .training import RATES, Run

CLAIMED, KAPLAN = 0.49, 0.73
DROPPED, ROUGH = 1, 0.01  # budgets without an optimum inside; residual of a parabola


def said(cell: grid.Cell) -> str:
    """A cell in words."""
    return (
        f"{cell.budget:.1e} FLOP: {grid.parameters(cell.shape):,} parameters, "
        f"{cell.bytes / 1e6:.3g} million bytes in {cell.steps} steps"
    )


def report(context: Context, runs: list[list[Run]], ceilings: Probe) -> None:
    """Measures the exponents; guards that budgets have an optimum; keeps every loss; draws the charts."""
    points = [run.point(number) for number, row in enumerate(runs) for run in row]
    best = fitting.optima(points, lambda point: point.size)
    spent = sum(run.each.size * run.cell.flop for row in runs for run in row)
    seconds = sum(run.seconds for row in runs for run in row)
    edge = sum(run.best != 1 for row in runs for run in row) / len(points)
    detail = {
        "optimal_parameters": [float(np.exp(each.x)) for each in best],
        "budgets": [each.flop for each in best],
        "optimum_inside": [each.inside for each in best],
        "rate_multiples": list(RATES),
        "share_best_at_an_outer_rate": edge,
        "residuals": [each.residual for each in best],
        "spread_between_seeds": float(np.mean([run.spread for row in runs for run in row])),
        "fraction_of_peak": spent / seconds / ceilings.half,
    }
    of_size, of_bytes = (lambda point: point.size), (lambda point: point.bytes)
    estimates = {
        "size_exponent": lambda some: fitting.isoflop(some, of_size),
        "data_exponent": lambda some: fitting.isoflop(some, of_bytes),
        "envelope_exponent": fitting.from_envelope,
        "size_exponent_without_embeddings": fitting.isoflop_without_embeddings,
    }
    for name, estimate in estimates.items():
        context.measure(
            name, fitting.interval(points, estimate), detail=detail if name == "size_exponent" else {}
        )
    context.measure("kaplan_excess", kaplan_excess(best))
    guard(context, best)
    context.samples["runs"] = [_record(run) for row in runs for run in row]
    _profiles(context, points, best)
    _growth(context, points, best)


def guard(context: Context, best: list[Optimum]) -> None:
    """Guards interior and parabolas; a few steps of the small preset promise neither."""
    if not context.full:
        return
    outside = sum(not each.inside for each in best)
    context.guard("interior", outside, DROPPED, "Budgets whose least loss is not inside the sizes tried.")
    worst = max(each.residual for each in best)
    context.guard("parabolas", worst, ROUGH, "Largest residual of a parabola, relative to the loss.")


def kaplan_excess(best: list[Optimum]) -> float:
    """By which share the largest budget's loss rises if the size had grown by Kaplan's law."""
    grown = best[0].x + KAPLAN * np.log(best[-1].flop / best[0].flop)
    return best[-1].excess(grown)


def _record(run: Run) -> dict[str, Any]:
    return {
        "budget": run.cell.budget,
        "layers": run.cell.shape.layers,
        "width": run.cell.shape.width,
        "parameters": grid.parameters(run.cell.shape),
        "bytes": run.cell.bytes,
        "steps": run.cell.steps,
        "rates": run.rates,
        "losses": run.finals,
        "losses_of_seeds": run.each.tolist(),
        "seconds": run.seconds,
    }


def _profiles(context: Context, points: list[Point], best: list[Optimum]) -> None:
    rows = [[p for p in points if p.budget == number] for number in range(len(best))]
    lines = [
        {"label": f"{each.flop:.1e} FLOP", "x": [p.size for p in row], "y": [p.loss for p in row]}
        for row, each in zip(rows, best, strict=True)
    ]
    lowest = {
        "label": "optima",
        "x": [float(np.exp(each.x)) for each in best],
        "y": [each.loss for each in best],
    }
    context.chart(
        "profiles",
        "Loss over model size for each budget",
        ("Parameters", "", True),
        ("Held-out loss", "nats a byte", False),
        [*lines, lowest],
    )


def _growth(context: Context, points: list[Point], best: list[Optimum]) -> None:
    flop = [each.flop for each in best]
    middle = np.mean(np.log(flop)), np.mean([each.x for each in best])
    lines: list[dict[str, Any]] = [
        {"label": "optima", "x": flop, "y": [float(np.exp(each.x)) for each in best]}
    ]
    for label, exponent in (("claimed by the paper", CLAIMED), ("Kaplan's exponent", KAPLAN)):
        sizes = [float(np.exp(middle[1] + exponent * (np.log(at) - middle[0]))) for at in flop]
        lines.append({"label": label, "x": flop, "y": sizes})
    at, sizes = fitting.envelope(points)
    lines.append({"label": "best of all training curves", "x": at.tolist(), "y": sizes.tolist()})
    context.chart(
        "growth",
        "Optimal size over compute",
        ("Training compute", "FLOP", True),
        ("Parameters", "", True),
        lines,
    )
