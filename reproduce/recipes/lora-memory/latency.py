"""Merged weights at inference: the same shapes, so the same time; apart, adapters cost extra."""

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.intervals import Interval
from reproduce.recipes.toolbox import KERNEL, compare, profile

from .transformer import SHAPES, Decoder, build


def measure(context: Context) -> None:
    """Measures merged_overhead: a forward pass of one sequence, base against merged against apart."""
    shape = SHAPES[context["shape"]]
    model = build(shape, context.device, torch.bfloat16, context["rank"])
    for projection in model.projections():
        projection.up.data.normal_(0.0, 0.02)
        projection.merge()
    length = min(context["length"], shape.positions or context["length"])
    prompts = [torch.randint(shape.vocabulary, (1, length), device=context.device) for _ in range(2)]
    works = {mode: _forward(model, mode, prompts) for mode in ("base", "merged", "adapter")}
    found = compare(works, "base", profile(context.preset, KERNEL, max_s=8.0), context.device)
    context.keep("latency", found)
    merged, apart = (found.speedup("base", mode) for mode in ("merged", "adapter"))
    context.measure(
        "merged_overhead",
        Interval(merged.value - 1, merged.low - 1, merged.high - 1, merged.n),
        predicted=0.0,
        predicted_note="The same matrix shapes, hence the same FLOP and bytes.",
        noise=found.noise(),
        detail={
            "shape": context["shape"],
            "prompt_tokens": length,
            "arms": found.figures(),
            "overhead_of_adapters_apart": apart.value - 1,
        },
    )


def _forward(model: Decoder, mode: str, prompts: list[torch.Tensor]) -> object:
    def work(call: int) -> None:
        for projection in model.projections():
            projection.mode = mode
        with torch.inference_mode():
            model(prompts[call % len(prompts)])

    return work
