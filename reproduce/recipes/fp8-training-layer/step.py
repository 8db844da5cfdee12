"""A training step of the layer: forward and backward, with and without its optimizer, and its memory."""

from collections.abc import Callable
from functools import partial

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.memory import peak_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, Comparison, compare, profile, release

from . import layer, states

NARROW_BYTES = 6


def measure(context: Context, ceilings: Probe) -> None:
    """Measures layer_speedup, step_speedup, memory_saving and state_bytes."""
    context.progress(0.35, "the layer in bf16 and in fp8")
    width, device = context["width"], context.device
    half = torch.bfloat16 if device.type == "cuda" else torch.float32
    shape = (context["batch"], context["length"], width)
    batches = [torch.randn(shape, device=device, dtype=half, requires_grad=True) for _ in range(2)]
    arriving = torch.randn(shape, device=device, dtype=half)
    run = partial(_pass, batches, arriving, width // context["head_width"])

    held = [states.NarrowWeights(weight.detach()) for weight in layer.weights(width, device, half)]
    narrow = partial(run, [layer.narrow(each) for each in held])
    peaks = {"fp8": _peak(context, narrow, partial(_step_all, held))}
    state = tensor_bytes([tensor for each in held for tensor in each.states()])
    kept = {"fp8": tensor_bytes([tensor for each in held for tensor in each.tensors()])}
    count = sum(each.master.numel() for each in held)

    weights = layer.weights(width, device, half)
    adam = states.WideAdam(weights)
    wide = partial(run, [layer.wide(weight) for weight in weights])
    peaks["bf16"] = _peak(context, wide, adam.step)
    kept["bf16"] = tensor_bytes([*adam.tensors(), *weights])  # gradients live within the step
    totals = {name: kept[name] + peaks[name] for name in kept}
    context.measure(
        "memory_saving",
        1 - totals["fp8"] / totals["bf16"],
        predicted_note="As many activations, some of them half as wide; states of 6 bytes instead of 14.",
        detail={"peak_bytes": totals, "kept_bytes": kept, "parameters": count},
    )
    context.measure(
        "state_bytes",
        state / count,
        predicted=NARROW_BYTES,
        predicted_note="fp8 gradient, fp16 master, fp8 and fp16 moments; scales of blocks come to it.",
        detail={"bf16_bytes": (tensor_bytes(adam.tensors()) + tensor_bytes(weights)) / count},
    )
    context.progress(0.45, "time of the layer")
    works = {
        "bf16": partial(_forward_backward, wide, weights),
        "fp8": narrow,
        "bf16 with Adam": partial(_with, wide, adam.step),
        "fp8 with Adam": partial(_with, narrow, partial(_step_all, held)),
    }
    how = profile(context.preset, STEP, max_s=6.0, min_s=3.0, min_rounds=8, warm_up_calls=3, calls=1)
    found = compare(works, "bf16", how, device)
    context.keep("layer", found)
    _report(context, ceilings, found, shape)


def _report(context: Context, ceilings: Probe, found: Comparison, shape: tuple[int, ...]) -> None:
    tokens, width = shape[0] * shape[1], shape[2]
    products = 3 * 24 * width**2 * tokens
    attention = 3.5 * 2 * shape[0] * shape[1] ** 2 * width  # causal: half of 4 n^2 d a head
    rest = ceilings.least_time(attention)
    least = {"bf16": ceilings.least_time(products) + rest}
    ratio = ceilings.eighth / ceilings.half if ceilings.eighth else 2.0
    least["fp8"] = ceilings.least_time(products) / ratio + rest
    slow = found.median("bf16").value / 1e3
    predicted = slow / (slow - least["bf16"] + least["fp8"]) if slow > least["bf16"] else ratio
    for name, suffix in (("layer_speedup", ""), ("step_speedup", " with Adam")):
        baseline, candidate = f"bf16{suffix}", f"fp8{suffix}"
        context.measure(
            name,
            found.speedup(candidate, baseline),
            predicted=predicted if not suffix else None,
            predicted_note="Products at the probed fp8 rate, all else as long as in bf16."
            if not suffix
            else "",
            noise=found.noise(),
            detail={
                "arms": found.figures(),
                "baseline": baseline,
                "candidate": candidate,
                "fraction_of_limit": {
                    "candidate": 1e3 * least["fp8"] / found.median(candidate).value,
                    "baseline": 1e3 * least["bf16"] / found.median(baseline).value,
                },
            },
        )


def _pass(
    batches: list[torch.Tensor],
    arriving: torch.Tensor,
    heads: int,
    linears: list[layer.Linear],
    call: int,
) -> None:
    """Forward and backward of one batch; weight gradients go where they go."""
    x = batches[call % len(batches)]
    layer.forward(x, linears, heads).backward(arriving)
    x.grad = None


def _forward_backward(run: Callable[[int], None], weights: list[torch.nn.Parameter], call: int) -> None:
    run(call)
    for weight in weights:
        weight.grad = None


def _with(run: Callable[[int], None], step: Callable[[], None], call: int) -> None:
    run(call)
    step()


def _step_all(held: list[states.NarrowWeights]) -> None:
    for each in held:
        each.step()


def _peak(context: Context, run: Callable[[int], None], step: Callable[[], None]) -> int:
    found = peak_bytes(partial(_with, run, step, 0), context.device)
    release(context.device)
    return found
