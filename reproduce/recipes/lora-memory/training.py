"""Memory and speed of training, LoRA against full fine-tuning, by model shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from reproduce.recipes.context import Context, curve
from reproduce.recipes.energy import energy, idle_watts
from reproduce.recipes.intervals import Interval
from reproduce.recipes.memory import peak_bytes, saved_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, Comparison, compare, profile, release

from .adam import MixedAdam
from .transformer import SHAPES, Decoder, build

ORDER = ("gpt2-medium", "gpt3-1.3b", "llama-7b")
STATE_BYTES = 16  # a trained parameter: bf16 weight and gradient, fp32 master and two moments
STEP_TRAFFIC = 40  # bytes the optimizer reads and writes for each parameter


@dataclass(frozen=True)
class Arm:
    """What one way of training holds."""

    peak: int  # bytes at the peak of a step, weights and states included
    saved: int  # bytes of activations kept for backward
    trained: int  # parameters


@dataclass(frozen=True)
class Found:
    """Both ways of training one shape; no tensor of it, so that the next shape finds the memory free."""

    name: str
    parameters: int
    arms: dict[str, Arm]
    times: Comparison
    spent: dict[str, Any]


def by_shape(context: Context, ceilings: Probe) -> None:
    """Measures memory and both speeds at the largest shape; charts memory and speed over all shapes."""
    largest = context["shape"]
    names = ORDER[: ORDER.index(largest) + 1] if largest in ORDER else (largest,)
    found = []
    for index, name in enumerate(names):
        context.progress(0.1 + 0.4 * index / len(names), f"training {name}")
        found.append(_train(context, name, last=name == largest))
        release(context.device)
    _measure_memory(context, found[-1])
    _measure_speed(context, found[-1], ceilings)
    _charts(context, found)


def _train(context: Context, name: str, last: bool) -> Found:
    model = build(SHAPES[name], context.device, torch.bfloat16, context["rank"])
    length = min(context["length"], SHAPES[name].positions or context["length"])
    size = (context["batch"], length + 1)
    batches = [torch.randint(SHAPES[name].vocabulary, size, device=context.device) for _ in range(2)]
    if last:
        _guard_start(context, model, batches[0])
    lora, lora_step = _arm(context, model, "adapter", model.adapters(), batches)
    full, full_step = _arm(context, model, "base", model.base(), batches)
    arms, works = {"full": full, "lora": lora}, {"full": full_step, "lora": lora_step}
    if last:
        works["full, gradients"] = _gradients(model, "base", model.base(), batches)
        works["lora, gradients"] = _gradients(model, "adapter", model.adapters(), batches)
    how = profile(context.preset, STEP, max_s=20.0 if last else 6.0, min_s=10.0 if last else 3.0)
    times = compare(works, "full", how, context.device)
    context.keep(f"training_{name.replace('-', '_').replace('.', '_')}", times)
    idle = idle_watts(context.gpu) if last else None
    spent = {way: energy(works[way], context.gpu, 4.0, idle) for way in arms} if last else {}
    return Found(name, sum(parameter.numel() for parameter in model.base()), arms, times, spent)


def _arm(
    context: Context, model: Decoder, mode: str, trained: list[nn.Parameter], batches: list[torch.Tensor]
) -> tuple[Arm, Callable[[int], None]]:
    """Sets one way of training up and measures its memory; the other way's optimizer must not exist yet,
    or be small, since it is not counted."""
    model.switch(mode, trained)
    optimizer = MixedAdam(trained)

    def step(call: int) -> None:
        model.switch(mode, trained)
        model.loss(batches[call % len(batches)]).backward()
        optimizer.step()

    peak = peak_bytes(lambda: step(0), context.device)
    saved = saved_bytes(lambda: model.loss(batches[0]), list(model.parameters()))
    held = list(model.base()) + (trained if mode == "adapter" else []) + optimizer.tensors()
    return Arm(peak + tensor_bytes(held), saved, sum(parameter.numel() for parameter in trained)), step


def _gradients(
    model: Decoder, mode: str, trained: list[nn.Parameter], batches: list[torch.Tensor]
) -> Callable[[int], None]:
    """A step without its optimizer: forward, backward, and the gradients dropped."""

    def work(call: int) -> None:
        model.switch(mode, trained)
        model.loss(batches[call % len(batches)]).backward()
        for parameter in trained:
            parameter.grad = None

    return work


def _guard_start(context: Context, model: Decoder, tokens: torch.Tensor) -> None:
    logits = {}
    for mode in ("base", "adapter"):
        model.switch(mode)
        logits[mode] = model(tokens[:1, :-1])
    context.guard(
        "same_at_start",
        (logits["adapter"] - logits["base"]).abs().max().item(),
        0.0,
        "Largest difference of the logits at step 0, with B = 0, to the model without adapters.",
    )


def _measure_memory(context: Context, found: Found) -> None:
    full, lora = found.arms["full"], found.arms["lora"]
    least_full = STATE_BYTES * full.trained + full.saved
    least_lora = 2 * found.parameters + STATE_BYTES * lora.trained + lora.saved
    context.measure(
        "memory_saving",
        full.peak / lora.peak,
        predicted=least_full / least_lora,
        predicted_note=f"{STATE_BYTES} bytes a trained parameter, 2 a frozen one, and activations kept for "
        f"backward ({full.saved / 1e9:.3g} GB full, {lora.saved / 1e9:.3g} GB LoRA); without activations "
        f"{STATE_BYTES / 2:g}.",
        detail={
            "shape": found.name,
            "parameters": found.parameters,
            "tokens_a_step": context["batch"] * context["length"],
            "bytes": {way: arm.peak for way, arm in found.arms.items()},
            "activation_bytes": {way: arm.saved for way, arm in found.arms.items()},
        },
    )


def _measure_speed(context: Context, found: Found, ceilings: Probe) -> None:
    """Measures training_speedup, a whole step, and gradient_speedup, without the optimizer."""
    tokens = context["batch"] * context["length"]
    product = ceilings.least_time(2 * found.parameters * tokens)
    update = ceilings.least_time(moved=STEP_TRAFFIC * found.parameters)
    context.measure(
        "training_speedup",
        found.times.speedup("lora"),
        predicted=(3 * product + update) / (2 * product),
        predicted_note=f"Three matrix products a weight, {product * 1e3:.3g} ms each, against two; and "
        f"{STEP_TRAFFIC} bytes a parameter for the optimizer, {update * 1e3:.3g} ms.",
        noise=found.times.noise(),
        detail={
            "shape": found.name,
            "tokens_a_step": tokens,
            "arms": found.times.figures(),
            "tokens_per_s": {way: tokens / found.times.median(way).value * 1e3 for way in found.arms},
            "energy_per_step": found.spent,
        },
    )
    context.measure(
        "gradient_speedup",
        found.times.speedup("lora, gradients", "full, gradients"),
        predicted=1.5,
        predicted_note="Three matrix products a weight against two.",
        noise=found.times.noise(),
        detail={"shape": found.name, "tokens_a_step": tokens},
    )


def _charts(context: Context, found: list[Found]) -> None:
    sizes = [model.parameters for model in found]
    labels = {"full": "full fine-tuning", "lora": "LoRA"}
    context.chart(
        "memory_by_shape",
        "Peak training memory by model size",
        ("Parameters", "", True),
        ("Peak memory", "GB", True),
        [
            {"label": label, "x": sizes, "y": [model.arms[way].peak / 1e9 for model in found]}
            for way, label in labels.items()
        ],
    )
    context.chart(
        "speed_by_shape",
        "Training speed by model size",
        ("Parameters", "", True),
        ("Speed", "tokens/s", True),
        [curve(label, sizes, [_speed(context, m, way) for m in found]) for way, label in labels.items()],
    )


def _speed(context: Context, found: Found, way: str) -> Interval:
    """Tokens a second."""
    time, tokens = found.times.median(way), context["batch"] * context["length"] * 1e3
    return Interval(tokens / time.value, tokens / time.high, tokens / time.low, time.n)
