"""Training steps at 1.3B shape: ALiBi at length L against sinusoidal positions at 2 L, equal tokens."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from reproduce.recipes.blocks.learning import autocast
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context
from reproduce.recipes.memory import peak_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, compare, profile, release

from . import attention

UPDATE_BYTES = 28  # AdamW in fp32: weight, gradient and two moments read, all but the gradient written
PASSES = 15  # over the n x n matrices of standard attention: 6 forward, 9 backward


def measure(context: Context, ceilings: Probe) -> None:
    """Measures throughput and memory saved, with attention's matrices in memory and fused."""
    shape, length = attention.SHAPES[context["shape"]], context["short"]
    with torch.device(context.device):
        model = TinyGPT(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=context.device.type == "cuda")
    batches = {n: _ids(context, shape, n) for n in (length, 2 * length)}
    for number, (backend, (with_alibi, without)) in enumerate(attention.arms(context).items()):
        context.progress(0.12 + 0.15 * number, f"training steps, {backend} attention")
        works = {
            "sinusoidal": _step(model, optimizer, "sinusoidal", without, batches[2 * length]),
            "alibi": _step(model, optimizer, "none", with_alibi, batches[length]),
        }
        how = profile(context.preset, STEP, warm_up_calls=3, min_s=2.0, max_s=5.0)
        found = compare(works, "sinusoidal", how, context.device)
        context.keep(f"step_{backend}", found)
        limits = {n: _least(context, ceilings, model, n, backend) for n in batches}
        times = {name: found.median(name).value for name in works}
        context.measure(
            f"throughput_{backend}",
            found.speedup("alibi"),
            predicted=limits[2 * length] / limits[length],
            predicted_note="Products of all weights, causal products of attention, the optimizer's traffic"
            + (", and n x n matrices through memory." if backend == "math" else "."),
            noise=found.noise(),
            detail={
                "fraction_of_limit": {
                    "candidate": limits[length] / times["alibi"] * 1e3,
                    "baseline": limits[2 * length] / times["sinusoidal"] * 1e3,
                },
                "tokens_a_step": context["tokens"],
                "arms": found.figures(),
            },
        )
        _memory(context, model, optimizer, works, backend)


def switch(model: TinyGPT, positions: str, attend: attention.Attend) -> None:
    """The same weights with other positions and another attention: neither has weights of its own."""
    model.shape = replace(model.shape, positions=positions)
    for block in model.blocks:
        block.mixer.shape, block.mixer.attend = model.shape, attend


def _ids(context: Context, shape: Shape, length: int) -> torch.Tensor:
    count = context["tokens"] // length
    return torch.randint(shape.vocabulary, (count, length + 1), device=context.device)


def _step(
    model: TinyGPT,
    optimizer: torch.optim.Optimizer,
    positions: str,
    attend: attention.Attend,
    ids: torch.Tensor,
) -> Callable[[int], None]:
    def work(call: int) -> None:
        switch(model, positions, attend)
        with autocast(ids.device):
            loss = model.loss(ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return work


def _memory(
    context: Context,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    works: dict[str, Callable[[int], None]],
    backend: str,
) -> None:
    """Measures memory_saved: weights, optimizer and the peak of a step on top of them."""
    states = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
    held = tensor_bytes([*model.parameters(), *states])
    peaks = {}
    for name, work in works.items():
        release(context.device)
        peaks[name] = held + peak_bytes(lambda work=work: work(0), context.device)
    context.measure(
        f"memory_saved_{backend}",
        1 - peaks["alibi"] / peaks["sinusoidal"],
        detail={"peak_bytes": peaks, "weights_and_optimizer_bytes": held},
    )


def _least(context: Context, ceilings: Probe, model: TinyGPT, length: int, backend: str) -> float:
    """Least seconds of a step; the kinds of work follow one another, so they are added."""
    shape, tokens = model.shape, context["tokens"]
    weights = sum(p.numel() for p in model.parameters())
    meet = 3 * 4 * shape.layers * shape.width * length * (1 if backend == "math" else 0.5)
    spent = ceilings.least_time(tokens * (6 * weights + meet)) + ceilings.least_time(
        moved=UPDATE_BYTES * weights
    )
    size = 2 if context.device.type == "cuda" else 4
    matrices = PASSES * size * shape.layers * shape.heads * tokens * length
    return spent + (ceilings.least_time(moved=matrices) if backend == "math" else 0.0)
