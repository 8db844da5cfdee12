"""Time of one layer's decode attention over contexts: absorbed against restoring keys and values."""

from functools import partial

import torch

from reproduce.recipes.blocks.decoding import DECODE, capture, report
from reproduce.recipes.context import Context, curve
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Comparison, compare, profile, release

from .attention import PLAIN, VALUE, Layer, absorbed, inputs, naive
from .cache import LATENT, ROTARY

SETS = 2  # caches that a graph rotates over
WAYS = {"restored": naive, "absorbed": absorbed}


def measure(context: Context, ceilings: Probe) -> None:
    """Measures absorption_speedup at the longest context; charts both ways' times."""
    contexts, found = sorted(context["contexts"]), []
    for index, tokens in enumerate(contexts):
        context.progress(0.5 + 0.5 * index / len(contexts), f"attention over {tokens} tokens")
        found.append(_at_context(context, tokens))
        release(context.device)
        if tokens != contexts[-1]:
            context.samples[f"{tokens} tokens"] = dict(found[-1].samples)
    context.keep("attention", found[-1])
    least = _least(context, ceilings, contexts[-1])
    report(context, "absorption_speedup", found[-1], ("absorbed", "restored"), least, "Bytes or arithmetic:")
    limits = [_least(context, ceilings, tokens)["absorbed"] for tokens in contexts]
    lines = [curve(way, contexts, [each.median(way) for each in found]) for way in WAYS]
    lines.append({"label": "roofline limit, absorbed", "x": contexts, "y": limits})
    title = f"Decode attention of {SETS} latent layers, {context['batch']} sequences"
    context.chart("attention", title, ("Context", "tokens", True), ("Time", "ms", True), lines)


def _at_context(context: Context, tokens: int) -> Comparison:
    device = context.device
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    layer = Layer.random(context["heads"], dtype, device)
    sets = [inputs(context["batch"], context["heads"], tokens, dtype, device) for _ in range(SETS)]
    works = {way: capture(partial(_all, attend, layer, sets), device) for way, attend in WAYS.items()}
    last = tokens == max(context["contexts"])
    how = profile(context.preset, DECODE, max_s=3.0 if last else 0.6)
    return compare(works, "restored", how, device)


def _all(attend: object, layer: Layer, sets: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    return [attend(layer, *each) for each in sets][-1]


def _least(context: Context, ceilings: Probe, tokens: int) -> dict[str, float]:
    """Milliseconds at least for all sets, by arithmetic or by bytes; restored keys and values count twice."""
    batch, heads = context["batch"], context["heads"]
    pairs, latents = batch * heads * tokens, 2 * batch * tokens * (LATENT + ROTARY)
    weights = 2 * heads * LATENT * (PLAIN + VALUE)
    restored = ceilings.least_time(
        2 * pairs * (LATENT * (PLAIN + VALUE) + PLAIN + ROTARY + VALUE),
        latents + weights + 2 * 2 * pairs * (PLAIN + VALUE),
    )
    inside = ceilings.least_time(
        2 * pairs * (2 * LATENT + ROTARY) + 2 * batch * heads * LATENT * (PLAIN + VALUE), latents + weights
    )
    return {"restored": 1e3 * SETS * restored, "absorbed": 1e3 * SETS * inside}
