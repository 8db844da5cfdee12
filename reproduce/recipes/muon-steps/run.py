"""Muon (arXiv:2502.16982): orthogonalised momentum for matrices; compute to AdamW's loss."""

from reproduce.recipes.context import Context

from . import numerics, race


def run(context: Context) -> None:
    """Checks the orthogonalisation, then lets both optimizers race at several sizes."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    numerics.check(context)
    race.measure(context)
    context.progress(1.0, "done")
