"""Memory and time of a training step with and without recomputation: residual net and transformer."""

from functools import partial

import torch
from torch import nn

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.context import Context
from reproduce.recipes.memory import peak_bytes, saved_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, Comparison, Work, compare, profile, release

from . import chains, checkpointing

WAYS = {"plain": checkpointing.plain, "checkpointed": checkpointing.every_sqrt}


def residual_net(context: Context, ceilings: Probe) -> None:
    """Measures memory_saving and time_ratio of a net of about a thousand layers."""
    context.progress(0.5, "a thousand-layer residual net")
    blocks = (3, 24, context["deep_blocks"], 3) if context.full else (1, 2, context["deep_blocks"], 1)
    layers = chains.residual_net(blocks, context.device)
    images = torch.randn(context["images"], 3, context["image"], context["image"], device=context.device)
    gradient = torch.randn(context["images"], chains.CLASSES, device=context.device)
    peaks = {
        name: peak_bytes(_work(way, layers, images, gradient), context.device) for name, way in WAYS.items()
    }
    kept = _kept(layers, images)
    context.measure(
        "memory_saving",
        peaks["plain"] / peaks["checkpointed"],
        predicted=kept["plain"] / kept["checkpointed"],
        predicted_note="Bytes kept for backward: by all layers, against segments' inputs and one segment.",
        detail={
            "blocks": list(blocks),
            "layers": 3 * sum(blocks) + 1,
            "peak_bytes": peaks,
            "kept_bytes": kept,
            "weight_bytes": tensor_bytes(chains.parameters(layers)),
        },
    )
    flop = counting.flop(_work(checkpointing.plain, layers, images, gradient))
    eager = {name: partial(_timed, _work(way, layers, images, gradient)) for name, way in WAYS.items()}
    times = _time(context, "residual_net", eager)
    least = 1e3 * ceilings.least_time(flop, rate="single")
    fractions = {
        "baseline": least / times.median("plain").value,
        "candidate": least * _bound(layers) / times.median("checkpointed").value,
    }
    _measure_time(context, "time_ratio", times, _bound(layers), {"fraction_of_limit": fractions})


def transformer(context: Context) -> None:
    """Measures time_ratio_transformer in bf16; a step is one CUDA graph, so that no launch is waited for."""
    context.progress(0.8, "a transformer")
    count, width, length = context["timed_blocks"], context["timed_width"], 4 * context["length"]
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    layers = chains.transformer(count, width, length, context.device, dtype)
    shape = (8 if context.full else 2, length, width)
    x, gradient = (torch.randn(shape, device=context.device, dtype=dtype) for _ in range(2))
    graphs = {name: replayed(_work(way, layers, x, gradient), context.device) for name, way in WAYS.items()}
    times = _time(context, "transformer", graphs)
    _measure_time(context, "time_ratio_transformer", times, _bound(layers), {"shape": list(shape)})


def _work(
    way: checkpointing.Way, layers: list[nn.Module], x: torch.Tensor, gradient: torch.Tensor
) -> partial[None]:
    return partial(checkpointing.step, way, layers, x, gradient)


def _time(context: Context, name: str, arms: dict[str, Work]) -> Comparison:
    how = profile(context.preset, STEP, max_s=6.0, min_s=2.0, min_rounds=10, warm_up_calls=3, calls=1)
    found = compare(arms, "plain", how, context.device)
    context.keep(name, found)
    release(context.device)
    return found


def _timed(work: partial[None], call: int) -> None:
    work()


def _bound(layers: list[nn.Module]) -> float:
    """Time relative to plain if backward costs two forward passes and all segments but the last run again."""
    last = len(checkpointing.segments(layers)[-1])
    return (3 + (len(layers) - last) / len(layers)) / 3


def _measure_time(
    context: Context, name: str, times: Comparison, bound: float, detail: dict[str, object]
) -> None:
    context.measure(
        name,
        times.speedup("plain", "checkpointed"),
        predicted=bound,
        predicted_note="One more forward pass without the last segment; backward costs two.",
        noise=times.noise(),
        detail={"arms": times.figures(), **detail},
    )


def _kept(layers: list[nn.Module], x: torch.Tensor) -> dict[str, int]:
    """Bytes kept for backward by plain autograd, and at the peak with segments."""
    own, inputs = [], []
    with torch.no_grad():
        for layer in layers:
            inputs.append(tensor_bytes([x]))
            with torch.enable_grad():
                own.append(saved_bytes(partial(layer, x), list(layer.parameters())))
            x = layer(x)
    borders, largest, start = 0, 0, 0
    for segment in checkpointing.segments(layers):
        borders += inputs[start]
        largest = max(largest, sum(own[start : start + len(segment)]))
        start += len(segment)
    return {"plain": sum(own), "checkpointed": borders + largest}
