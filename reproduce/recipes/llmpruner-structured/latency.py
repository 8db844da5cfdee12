"""Memory and time of forward passes: the whole model against one pruned model after another."""

from dataclasses import dataclass
from functools import partial

import torch

from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.blocks.zoo import DECODERS, Decoder, materialise
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.memory import peak_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from .counts import SHARE, TOKENS, multiplications
from .shapes import Pruned, blocks, channels

STREAM = 341_469  # tokens of WikiText2's test set with Llama's tokenizer
CLAIMED = 0.887
HEADLINE = f"channels {round(SHARE * 100)} %"


@dataclass
class Found:
    """One pruned model against the whole one."""

    times: Comparison
    least: dict[str, float]  # seconds
    bytes: dict[str, int]

    @property
    def ratio(self) -> Interval:
        """Latency of the pruned model divided by that of the whole one."""
        faster = self.times.speedup("pruned")
        return Interval(1 / faster.value, 1 / faster.high, 1 / faster.low, faster.n)

    @property
    def limit(self) -> float:
        """The same ratio of the least times."""
        return self.least["pruned"] / self.least["whole"]


def measure(context: Context, ceilings: Probe) -> None:
    """Measures memory, latency and latency_block; charts latency over the share of channels removed."""
    shape = DECODERS[context["shape"]]
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    whole = _built(Pruned(shape), context.device, dtype)
    shares = sorted({*context["shares"], round(SHARE * 100)})
    arms = {f"channels {share} %": channels(shape, share / 100) for share in shares}
    arms |= {
        "rounded to 64": channels(shape, SHARE, multiple=64),
        "not rounded": channels(shape, SHARE, multiple=1),
        "blocks": blocks(shape),
    }
    found: dict[str, Found] = {}
    for index, (name, pruned) in enumerate(arms.items()):
        context.progress(0.15 + 0.45 * index / len(arms), f"{name} removed")
        found[name] = _against(context, ceilings, whole, pruned, dtype, 3.0 if name == HEADLINE else 0.7)
        release(context.device)
    _report(context, found)
    _chart(context, shares, found)


def _built(pruned: Pruned, device: torch.device, dtype: torch.dtype) -> Decoder:
    return materialise(pruned.build, device, dtype).eval().requires_grad_(False)


def _against(
    context: Context, ceilings: Probe, whole: Decoder, pruned: Pruned, dtype: torch.dtype, seconds: float
) -> Found:
    models = {"whole": whole, "pruned": _built(pruned, context.device, dtype)}
    tokens = torch.randint(whole.shape.vocabulary, (1, context["window"]), device=context.device)
    works = {name: replayed(partial(_pass, model, tokens), context.device) for name, model in models.items()}
    how = profile(context.preset, KERNEL, max_s=seconds)
    short = tokens[:, :TOKENS]
    held = {
        name: tensor_bytes(list(model.parameters()))
        + peak_bytes(partial(_pass, model, short), context.device)
        for name, model in models.items()
    }
    least = {name: _least(model, context["window"], ceilings) for name, model in models.items()}
    return Found(compare(works, "whole", how, context.device), least, held)


@torch.no_grad()
def _pass(model: Decoder, tokens: torch.Tensor) -> torch.Tensor:
    return model(tokens)


def _least(model: Decoder, tokens: int, ceilings: Probe) -> float:
    """Seconds of a pass at least: its arithmetic, or every weight but the embeddings read once."""
    read = tensor_bytes([*model.layers.parameters(), *model.head.parameters()])
    return ceilings.least_time(2 * multiplications(model, tokens), read)


def _report(context: Context, found: dict[str, Found]) -> None:
    main, block = found[HEADLINE], found["blocks"]
    for name, one in (("latency", main), ("latency_block", block)):
        context.keep(name, one.times)
        times = {arm: one.times.median(arm).value for arm in ("whole", "pruned")}
        context.measure(
            name,
            one.ratio,
            predicted=one.limit,
            predicted_note="Arithmetic, or every weight but embeddings read once, whichever takes longer.",
            noise=one.times.noise(),
            detail={
                "window": context["window"],
                "arms": one.times.figures(),
                "seconds_for_wikitext2": {
                    arm: time / 1e3 * STREAM / context["window"] for arm, time in times.items()
                },
                "ratios": {other: each.ratio.value for other, each in found.items()},
                "fraction_of_limit": {
                    "candidate": one.least["pruned"] * 1e3 / times["pruned"],
                    "baseline": one.least["whole"] * 1e3 / times["whole"],
                },
            },
        )
    context.measure(
        "memory", main.bytes["pruned"] / main.bytes["whole"], detail={"bytes": main.bytes, "tokens": TOKENS}
    )


def _chart(context: Context, shares: list[int], found: dict[str, Found]) -> None:
    by_share = [found[f"channels {share} %"] for share in shares]
    context.chart(
        "latency_by_share",
        f"Latency of {context['window']} tokens with channels removed, relative to the whole model",
        ("Channels removed", "%", False),
        ("Latency", "x", False),
        [
            curve("measured", shares, [one.ratio for one in by_share]),
            {"label": "roofline limit", "x": shares, "y": [one.limit for one in by_share]},
            level("claimed by the paper", shares, CLAIMED),
        ],
    )
