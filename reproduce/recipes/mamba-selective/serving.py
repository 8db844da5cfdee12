"""Tokens a second of a 1.4B-shaped Mamba and a 1.3B-shaped Transformer, each at its best batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decodestack import Shape, Stack, normed
from reproduce.recipes.blocks.decoding import DECODE, capture
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, median_of, ratio_of_medians
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import compare, profile, release

from . import generator

SHAPES = {
    "tiny": (Shape(2, 64, 2, 2, 32, 256, vocabulary=256), generator.Sizes(4, 64, 256)),
    "1.4B": (Shape(24, 2048, 16, 16, 128, 8192, vocabulary=50_280), generator.Sizes(48, 2048, 50_280)),
}
TOGETHER = 8  # prompts read at once: enough to fill the GPU
SAME = 1e-4
MEMORY = 60e9  # bytes of the largest caches or states; the rest is for weights and activations


class Model(Protocol):
    """What both arms can do."""

    def step(self, x: torch.Tensor, position: int) -> torch.Tensor:
        """The next token of each sequence, (batch, width) to logits."""

    def prompt(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n, width) through all layers."""


class Transformer(Stack):
    """The stack of the block for decoding, which also reads prompts."""

    def prompt(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n, width) through all layers; keys and values are made, but not stored."""
        x = x.clone()
        for weights in self.layers:
            parts = (normed(x) @ weights["qkv"]).chunk(3, dim=-1)
            q, k, v = (part.unflatten(-1, (self.shape.heads, -1)).transpose(1, 2) for part in parts)
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x += mixed.transpose(1, 2).flatten(2) @ weights["out"]
            x += functional.gelu(normed(x) @ weights["up"]) @ weights["down"]
        return x


@dataclass(frozen=True)
class Rates:
    """One model: for each batch, milliseconds a sequence for prompt and answer, one for each round."""

    each: dict[int, list[float]]
    answer: dict[int, list[float]]  # without the prompt

    @property
    def best(self) -> int:
        """The batch with most tokens a second."""
        return min(self.each, key=lambda batch: median_of(self.each[batch]).value)


def measure(context: Context, ceilings: Probe) -> None:
    """Measures throughput, prompt included, and throughput_answer, without it; charts it over batches."""
    guard(context)
    shape, sizes = SHAPES[context["shape"]]
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    room = context["prompt"] + context["answer"]
    cached = dtype.itemsize * shape.cached(room)
    fit = [batch for batch in context["batches"] if batch * cached <= MEMORY]

    def transformer(batch: int) -> Model:
        model = Transformer.random(shape, batch, room, dtype, context.device)
        model.choose(context.log, room)
        return model

    def mamba(batch: int) -> Model:
        return generator.Generator.random(sizes, batch, dtype, context.device)

    found = {
        "Transformer": _rates(context, "transformer", transformer, fit, shape.width, dtype),
        "Mamba": _rates(context, "mamba", mamba, context["batches"], sizes.width, dtype),
    }
    least = {
        "Transformer": _least(context, ceilings, found["Transformer"].best, shape.weights, cached),
        "Mamba": _least(context, ceilings, found["Mamba"].best, sizes.weights, 2 * sizes.state_bytes),
    }
    _measure(context, found, least)
    context.chart(
        "serving",
        f"Generation of {context['answer']} tokens after {context['prompt']}, prompt included",
        ("Sequences at once", "", True),
        ("Speed", "tokens/s", True),
        [
            curve(name, list(rates.each), [_speed(context, rates.each[batch]) for batch in rates.each])
            for name, rates in found.items()
        ],
    )


@torch.no_grad()
def guard(context: Context) -> None:
    """Guards generation: a prompt, and the same token by token, against the prompt in 64 bits on the CPU."""
    model = generator.Generator.random(generator.Sizes(2, 64, 32), 2, torch.float32, context.device)
    model.states.zero_()
    model.past.zero_()
    x = torch.randn(2, 41, 64, device=context.device)
    exact = normed(_exactly(model).prompt(x.double().cpu())) @ model.head.double().cpu()
    found = normed(model.prompt(x)) @ model.head, torch.stack([model.step(token) for token in x.unbind(1)], 1)
    errors = [((logits.double().cpu() - exact).abs().max() / exact.abs().max()).item() for logits in found]
    context.guard("generation", max(errors), SAME, "Mamba's prompt, and its steps, against 64 bits.")


def _exactly(model: generator.Generator) -> generator.Generator:
    """The same model on the CPU in 64 bits."""
    layers = [{name: part.double().cpu() for name, part in layer.items()} for layer in model.layers]
    parts = (part.double().cpu() for part in (model.head, model.states, model.past))
    return generator.Generator(model.sizes, layers, *parts)


def _rates(
    context: Context,
    name: str,
    build: Callable[[int], Model],
    batches: list[int],
    width: int,
    dtype: torch.dtype,
) -> Rates:
    each, answer, prompt = {}, {}, None
    position = context["prompt"] + context["answer"] // 2
    for batch in batches:
        model = build(batch)
        prompt = _prompt(context, model, width, dtype) if prompt is None else prompt
        x = torch.randn(batch, width, device=context.device, dtype=dtype)
        work = capture(partial(model.step, x, position), context.device)
        last = batch == batches[-1]
        how = profile(context.preset, DECODE, max_s=2.0 if last else 0.5)
        found = compare({"step": work}, "step", how, context.device)
        if last:
            context.keep(f"step_{name}", found)
        else:
            context.samples[f"step, {name}, {batch} sequences"] = dict(found.samples)
        answer[batch] = [context["answer"] * time / batch for time in found.samples["step"]]
        each[batch] = [prompt + time for time in answer[batch]]
        del model, work
        release(context.device)
    return Rates(each, answer)


@torch.no_grad()
def _prompt(context: Context, model: Model, width: int, dtype: torch.dtype) -> float:
    """Milliseconds a sequence to read a prompt."""
    x = torch.randn(TOGETHER, context["prompt"], width, device=context.device, dtype=dtype)
    how = profile(context.preset, DECODE, warm_up_calls=2, max_s=1.0)
    found = compare({"prompt": lambda call: model.prompt(x)}, "prompt", how, context.device, again=False)
    return found.median("prompt").value / TOGETHER


def _least(context: Context, ceilings: Probe, batch: int, weights: int, moved: float) -> tuple[float, float]:
    """Least milliseconds a sequence: with prompt, and without. `moved`: bytes of a sequence in a step."""
    size = 2 if context.device.type == "cuda" else 4
    step = ceilings.least_time(2 * weights * batch, weights * size + batch * moved) / batch
    prompt = ceilings.least_time(2 * weights * context["prompt"])
    answer = context["answer"] * step
    return (prompt + answer) * 1e3, answer * 1e3


def _measure(context: Context, found: dict[str, Rates], least: dict[str, tuple[float, float]]) -> None:
    best = {name: rates.best for name, rates in found.items()}
    for place, (measure, kind) in enumerate((("throughput", "each"), ("throughput_answer", "answer"))):
        times = {name: getattr(found[name], kind)[best[name]] for name in found}
        rounds = min(map(len, times.values()))
        limits = {name: of_arm[place] for name, of_arm in least.items()}
        context.measure(
            measure,
            ratio_of_medians(times["Transformer"][:rounds], times["Mamba"][:rounds]),
            predicted=limits["Transformer"] / limits["Mamba"],
            predicted_note="Prompt: products at the probed rate; a step reads weights and caches or states.",
            detail={
                "best_batch": best,
                "tokens_per_s": {name: _speed(context, times[name]).value for name in times},
                "fraction_of_limit": {
                    "candidate": limits["Mamba"] / median_of(times["Mamba"]).value,
                    "baseline": limits["Transformer"] / median_of(times["Transformer"]).value,
                },
            },
        )


def _speed(context: Context, milliseconds: list[float]) -> Interval:
    """Answer tokens a second from milliseconds a sequence."""
    time, tokens = median_of(milliseconds), context["answer"] * 1e3
    return Interval(tokens / time.value, tokens / time.high, tokens / time.low, time.n)
