"""Speculative decoding (arXiv:2211.17192): a small model drafts what a large one only has to verify."""

from reproduce.recipes.context import Context
from reproduce.recipes.toolbox import release

from . import checks, pair, shapes


def run(context: Context) -> None:
    """Tests the theorem and the formula on a trained pair, then times the paper's shapes."""
    context.progress(0.0, "what this hardware can do")
    ceilings = context.probe()
    trained = pair.learn(context)
    context.progress(0.4, "the same text and the same distribution")
    checks.unchanged(context, trained)
    context.progress(0.5, "how much is accepted")
    tokens = pair.tokens_at_gamma(context, trained)
    context.progress(0.6, "wall time at the paper's shapes")
    shapes.measure(context, ceilings, tokens)
    release(context.device)
    context.progress(0.85, "how much is accepted of more and fewer drafted tokens")
    pair.chart(context, trained)
    context.progress(1.0, "done")
