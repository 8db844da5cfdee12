"""Compute-optimal training (arXiv:2203.15556): which size is best for a budget, and how it grows with it."""

from reproduce.recipes.context import Context

from . import checks, grid, results, training


def run(context: Context) -> None:
    """Checks formula and estimator, trains sizes at every budget, then fits the exponents."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    cells = grid.cells(context)
    checks.counted(context, cells)
    checks.planted(context, cells)
    context.progress(0.03, "text of the synthetic language")
    longest = max(cell.bytes for row in cells for cell in row)
    text = training.Text.of(longest, context["windows"], context.device)
    context.data["text"] = {"language": training.LANGUAGE, "seeds": [training.READ, training.HELD_OUT]}
    total, done, runs = sum(row[0].budget * len(row) for row in cells), 0.0, []
    for row in cells:
        runs.append([])
        for cell in row:
            context.progress(0.05 + 0.93 * done / total, results.said(cell))
            runs[-1].append(training.run_cell(context, cell, text, len(runs)))
            done += cell.budget
    results.report(context, runs, ceilings)
    context.progress(1.0, "done")
