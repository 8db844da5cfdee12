"""Scaling laws (arXiv:2001.08361): shape hardly matters, size and data do, and compute is six times both."""

from reproduce.recipes import corpora
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.context import Context

from . import agreement, identity, ngram, results, sweeps


def run(context: Context) -> None:
    """Counts FLOP, trains the three sweeps on Python's source, then fits and compares."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    agreement.check(context)
    context.progress(0.05, "counting FLOP")
    identity.measure(context)
    corpus = corpora.code(context["bytes"])
    context.data["code"] = corpus.record()
    text = Text.of(corpus, context.device)
    context.progress(0.08, "n-gram models")
    bars = {order: ngram.cross_entropy(corpus.train, corpus.validation, order) for order in (3, 5)}
    of_size = sweeps.sizes(context, text)
    of_share = sweeps.subsets(context, text, of_size)
    of_shape = sweeps.shapes(context, text)
    results.shape(context, of_shape, of_size)
    sizes, shares = ("Parameters without embeddings", "", True), ("Bytes to learn from", "B", True)
    results.law(context, "n", of_size, sizes, "Loss over size, and the power law through it")
    results.law(context, "d", of_share, shares, "Loss over data, and the power law through it")
    results.believable(context, of_size, of_shape, of_share, bars)
    context.progress(1.0, "done")
