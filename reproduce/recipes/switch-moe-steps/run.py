"""Switch Transformers (arXiv:2101.03961): one expert of many for each token, at the FLOP of a dense model."""

from reproduce.recipes.context import Context

from . import checks, findings
from .training import Trainer


def run(context: Context) -> None:
    """Checks routing against a loop, trains dense and sparse models, and compares steps and seconds."""
    context.progress(0.0, "what this hardware can do")
    context.probe()
    context.progress(0.1, "one expert against a dense layer")
    checks.one_expert_is_dense(context)
    context.progress(0.15, "dialects and code to learn")
    trainer, arms = Trainer(context), {}
    numbers = [0, *sorted(context["experts"])]
    for index, number in enumerate(numbers):
        context.progress(0.2 + 0.7 * index / len(numbers), f"training with {number} experts, 0 is dense")
        arms[number] = trainer.arm(number)
    context.progress(0.95, "steps and seconds to the dense loss")
    findings.report(context, arms, trainer.data.entropy)
    context.progress(1.0, "done")
