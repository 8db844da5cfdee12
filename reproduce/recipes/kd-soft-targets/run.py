"""Distillation (arXiv:1503.02531): a teacher's soft targets in place of most of the training data."""

from reproduce.recipes.context import Context

from . import digits, distilling, language


def run(context: Context) -> None:
    """Checks the loss by its limit, then measures the gap closed on digits and on text."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    context.progress(0.05, "the loss in its limit of high temperature")
    distilling.check(context)
    context.progress(0.1, "digits: teachers, and the tries of every arm")
    digits.measure(context)
    context.progress(0.5, "a language model and its teacher")
    language.measure(context)
    context.progress(1.0, "done")
