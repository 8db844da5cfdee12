"""A training step of GPT-2 medium in fp16 and in fp32: its time, and the activations kept for backward."""

from functools import partial

import torch

from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context
from reproduce.recipes.memory import saved_bytes
from reproduce.recipes.toolbox import STEP, compare, profile, release

from . import formats

MEDIUM = Shape(layers=24, width=1024, heads=16, length=1024, vocabulary=50304)
SMOKE = Shape(layers=2, width=64, heads=2, length=32, vocabulary=256)


def measure(context: Context) -> None:
    """Measures memory_saving, step_speedup, step_speedup_tf32 and autocast_speedup."""
    context.progress(0.35, "training steps")
    shape = MEDIUM if context.full else SMOKE
    with context.device:
        model = TinyGPT(shape)
    size = (context["step_batch"], shape.length + 1)
    batches = [torch.randint(shape.vocabulary, size, device=context.device) for _ in range(2)]
    _memory(context, model, batches[0])
    release(context.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    scale = context["loss_scale"]
    losses = {name: formats.loss_of(formats.WAYS[name], scale) for name in ("fp32", "fp16")}
    losses["autocast"] = partial(_autocast, losses["fp32"])
    arms = {name: partial(_step, model, optimizer, loss, "highest", batches) for name, loss in losses.items()}
    arms["fp32, TF32 on"] = partial(_step, model, optimizer, losses["fp32"], "high", batches)
    how = profile(context.preset, STEP, max_s=8.0, min_s=4.0, min_rounds=8, warm_up_calls=2, calls=1)
    found = compare(arms, "fp32", how, context.device)
    context.keep("step", found)
    pairs = {
        "step_speedup": ("fp32", "fp16"),
        "step_speedup_tf32": ("fp32, TF32 on", "fp16"),
        "autocast_speedup": ("fp32", "autocast"),
    }
    for name, (baseline, candidate) in pairs.items():
        context.measure(
            name,
            found.speedup(candidate, baseline),
            noise=found.noise(),
            detail={"arms": found.figures(), "baseline": baseline, "candidate": candidate},
        )


def _memory(context: Context, model: TinyGPT, tokens: torch.Tensor) -> None:
    """Bytes kept for backward besides the weights, of which fp16 has a narrow copy."""
    kept, weights = {}, list(model.parameters())
    for name in ("fp32", "fp16"):
        copies = formats.narrow(model, formats.WAYS[name], 1.0)
        forward = partial(torch.func.functional_call, model, copies, (tokens[:, :-1],))
        kept[name] = saved_bytes(lambda run=forward: _loss(run(), tokens), weights + list(copies.values()))
    context.measure(
        "memory_saving",
        kept["fp32"] / kept["fp16"],
        predicted=2.0,
        predicted_note="Half the bytes, but for the loss, which is computed in fp32 either way.",
        detail={"bytes": kept, "parameters": model.size()},
    )


def _loss(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def _step(
    model: TinyGPT,
    optimizer: torch.optim.Optimizer,
    loss: learning.Loss,
    precision: str,
    batches: list[torch.Tensor],
    call: int,
) -> None:
    torch.set_float32_matmul_precision(precision)
    loss(model, batches[call % len(batches)]).backward()
    torch.set_float32_matmul_precision("highest")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _autocast(loss: learning.Loss, model: TinyGPT, tokens: torch.Tensor) -> torch.Tensor:
    """fp16 where PyTorch thinks it safe; the loss scale changes no time and is left out."""
    with torch.autocast(tokens.device.type, torch.float16):
        return loss(model, tokens)
