"""DistilBERT (arXiv:1910.01108): half of BERT's layers, counted and timed where the paper timed it."""

import copy

import torch

from reproduce.recipes.context import Context

from . import models, speed


def run(context: Context) -> None:
    """Counts, checks that DistilBERT is half of BERT, and times both on the CPU, then on a GPU if given."""
    on_cpu = copy.copy(context)  # the same record; the CPU is the paper's own setting, GPU or not
    on_cpu.device = torch.device("cpu")
    context.progress(0.0, "what this processor can do")
    ceilings = on_cpu.probe()
    context.progress(0.05, "parameters, on the meta device")
    models.count(context)
    built = models.build(context["models"], on_cpu.device)
    models.check(context, built)
    context.progress(0.2, "pairs of sentences, one at a time")
    timed = speed.over_pairs(on_cpu, ceilings, built)
    context.progress(0.7, "sequence lengths")
    speed.over_lengths(context, on_cpu, ceilings, built)
    speed.chart_sizes(context, built, timed)
    context.progress(1.0, "done")
