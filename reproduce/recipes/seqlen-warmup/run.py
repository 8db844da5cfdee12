"""Sequence-length warm-up (arXiv:2108.06084): fewer tokens and seconds to a loss, and larger stable rates."""

from reproduce.recipes import corpora
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.context import Context

from . import arms, checks, results


def run(context: Context) -> None:
    """Checks fairness, trains both arms at every rate and seed, then compares."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    checks.check(context)
    corpus = corpora.code(context["bytes"])
    context.data["code"] = corpus.record()
    text = Text.of(corpus, context.device)
    slow, fast = checks.lengths_of(context)
    starts = arms.windows_of(context, len(text.train), max(len(slow), len(fast)))
    baseline = arms.run_arm(context, text, slow, starts, ("constant length", 0.08))
    candidate = arms.run_arm(context, text, fast, starts, ("length warm-up", 0.53))
    results.report(context, baseline, candidate)
    context.progress(1.0, "done")
