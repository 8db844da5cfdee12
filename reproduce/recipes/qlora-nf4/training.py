"""Training steps with frozen NF4 weights: memory at 65 billion parameters, speed at 7 billion."""

from collections.abc import Callable

import torch

from reproduce.recipes.context import Context, level
from reproduce.recipes.memory import peak_bytes, tensor_bytes
from reproduce.recipes.toolbox import STEP, compare, profile, release

from .adapted import SIZES, Adam, Llama, Sizes

KIND = torch.bfloat16
CLAIMED_GB = 48.0
LENGTH = {"smoke": 64, "full": 512}


def memory(context: Context) -> None:
    """Measures memory: everything alive at the peak of a training step of the whole model."""
    sizes, device = SIZES[context["model"]], context.device
    context.progress(0.6, f"building {sizes.layers} layers in NF4")
    model = Llama(sizes, sizes.layers, context["rank"], KIND, device, four_bit=True)
    optimizer = Adam(list(model.parameters()))
    release(device)
    context.progress(0.8, "a training step")
    beyond = peak_bytes(_step(context, model, optimizer, sizes, 1), device)
    parts = {
        "frozen weights": tensor_bytes(model.kept()) - tensor_bytes(list(model.parameters())),
        "adapters": tensor_bytes(list(model.parameters())),
        "moments": tensor_bytes(optimizer.kept()),
        "gradients, activations, workspace": beyond,
    }
    total = sum(parts.values()) / 1e9
    frozen = sizes.layers * sum(outputs * inputs for outputs, inputs in sizes.matrices.values())
    bits = 8 * (parts["frozen weights"] - tensor_bytes(model.ends)) / frozen
    context.measure(
        "memory",
        total,
        predicted=frozen * 4.127 / 8 / 1e9,
        predicted_note="The frozen layers alone, at 4.127 bits a weight.",
        detail={
            "bytes": parts,
            "frozen_parameters": frozen,
            "bits_per_weight": bits,
            "rank": context["rank"],
        },
    )
    names = list(parts)
    grown = [sum(list(parts.values())[: place + 1]) / 1e9 for place in range(len(names))]
    places = list(range(1, len(names) + 1))
    context.chart(
        "memory",
        f"Memory of a training step, summed up: {', '.join(names)}",
        ("Parts counted", "", False),
        ("Memory", "GB", False),
        [{"label": "QLoRA", "x": places, "y": grown}, level("claimed by the paper", places, CLAIMED_GB)],
    )


def speed(context: Context) -> None:
    """Measures throughput: tokens a second in training a few layers, NF4 / 16-bit frozen weights."""
    sizes, layers, device = SIZES[context["timed_model"]], context["timed_layers"], context.device
    context.progress(0.5, f"training {layers} layers with either kind of frozen weights")
    works = {}
    for name, four_bit in (("16-bit", False), ("NF4", True)):
        model = Llama(sizes, layers, context["rank"], KIND, device, four_bit)
        step = _step(context, model, Adam(list(model.parameters())), sizes, 4)
        works[name] = lambda call, step=step: step()
    how = profile(context.preset, STEP, min_s=1.0, max_s=4.0, warm_up_calls=3, calls=1)
    found = compare(works, "16-bit", how, device)
    context.keep("training", found)
    context.measure(
        "throughput",
        found.speedup("NF4"),
        noise=found.noise(),
        detail={"layers": layers, "tokens": 4 * LENGTH[context.preset], "arms": found.figures()},
    )


def _step(context: Context, model: Llama, optimizer: Adam, sizes: Sizes, batch: int) -> Callable[[], None]:
    tokens = torch.randint(sizes.vocabulary, (batch, LENGTH[context.preset] + 1), device=context.device)

    def step() -> None:
        model.loss(tokens).backward()
        optimizer.step()

    return step
