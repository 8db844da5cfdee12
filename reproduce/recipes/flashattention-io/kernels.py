"""Time of attention alone: at the paper's shape against three baselines, and over sequence lengths."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from reproduce.recipes.context import Context, curve
from reproduce.recipes.energy import energy, idle_watts
from reproduce.recipes.memory import moved_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from .attention import Attend, Batch, backward, both, causal_mask, flop, forward, fused, kernels, padding_mask
from .attention import standard as standard_attention

PHASES: dict[str, Callable[[Attend, list[Batch]], Callable[[int], object]]] = {
    "forward": forward,
    "backward": backward,
    "forward and backward": both,
}


def at_papers_shape(context: Context, ceilings: Probe, dtype: torch.dtype) -> None:
    """Measures speedup, speedup_lean and speedup_compiled; every arm runs in the same rounds."""
    shape = (context["batch"], context["heads"], context["length"], context["head_dim"])
    batches = [Batch.random(shape, dtype, context.device) for _ in range(2)]
    arms = _arms(context, dtype)
    works = {name: both(attend, batches) for name, attend in arms.items()}
    found = compare(works, "standard", profile(context.preset, KERNEL, max_s=8.0), context.device)
    context.keep("papers_shape", found)
    spent = _energy(context, works)
    fused_kinds = _fused_by_compiler(context)
    for name, pair in {
        "speedup": ("standard", "flash"),
        "speedup_lean": ("standard_lean", "flash_lean"),
        "speedup_compiled": ("compiled", "flash"),
    }.items():
        predicted, note = _prediction(arms, batches[0], ceilings, shape, *pair)
        context.measure(
            name,
            found.speedup(pair[1], pair[0]),
            predicted=predicted if name != "speedup_compiled" else None,
            predicted_note=note
            if name != "speedup_compiled"
            else "What the compiler fuses is not predicted.",
            noise=found.noise(),
            detail=_detail(found, pair, spent, fused_kinds),
        )


def _arms(context: Context, dtype: torch.dtype) -> dict[str, Attend]:
    """Standard, compiled and fused attention with the paper's mask and dropout, lean, and causal."""
    dropout, device, length = context["dropout"], context.device, context["length"]
    padded = standard_attention(dropout, padding_mask(context["batch"], length, dtype, device))
    arms = {
        "standard": padded,
        "standard_lean": standard_attention(),
        "standard_causal": standard_attention(dropout, causal_mask(length, dtype, device)),
        "compiled": torch.compile(padded, backend="inductor" if device.type == "cuda" else "eager"),
    }
    for name, backend in kernels(device).items():
        arms[name] = fused(backend, dropout)
        arms[f"{name}_lean"] = fused(backend)
        arms[f"{name}_causal"] = fused(backend, dropout, causal=True)
    return arms


def _prediction(
    arms: dict[str, Attend], batch: Batch, ceilings: Probe, shape: tuple[int, ...], slow: str, fast: str
) -> tuple[float, str]:
    """The ratio of least times by the roofline, and how it comes about."""
    times, moved = [], []
    for arm in (slow, fast):
        work = both(arms[arm], [batch])
        moved.append(moved_bytes(partial(work, 0)))
        times.append(ceilings.least_time(flop(*shape), moved[-1]))
    return times[0] / times[1], (
        f"{flop(*shape) / 1e12:.3g} TFLOP each; {moved[0] / 1e9:.3g} GB and {moved[1] / 1e9:.3g} GB; "
        f"{ceilings.half / 1e12:.4g} TFLOP/s and {ceilings.copy / 1e12:.3g} TB/s seen here: "
        f"{times[0] * 1e3:.3g} ms against {times[1] * 1e3:.3g} ms."
    )


def _energy(context: Context, works: dict[str, Any]) -> dict[str, Any]:
    idle = idle_watts(context.gpu)
    return {arm: energy(works[arm], context.gpu, 3.0, idle) for arm in ("standard", "flash")}


def _fused_by_compiler(context: Context) -> int | None:
    """How many attention patterns the compiler replaced by a fused kernel; None where it does not compile."""
    if context.device.type != "cuda":
        return None
    return torch._dynamo.utils.counters["inductor"]["fuse_attention"]


def _detail(
    found: Comparison, pair: tuple[str, str], spent: dict[str, Any], fusions: int | None
) -> dict[str, Any]:
    return {
        "baseline": pair[0],
        "candidate": pair[1],
        "arms": found.figures(),
        "energy_per_call": spent,
        "patterns_fused_by_compiler": fusions,
    }


def over_lengths(context: Context, dtype: torch.dtype) -> None:
    """Charts time against length for forward, backward and both, at a constant number of tokens."""
    curves: dict[str, dict[str, list[Any]]] = {phase: {} for phase in PHASES}
    lengths = context["lengths"]
    for index, length in enumerate(lengths):
        context.progress(0.45 + 0.3 * index / len(lengths), f"time at {length} tokens a sequence")
        batch = max(1, context["tokens"] // length)
        shape = (batch, context["heads"], length, context["head_dim"])
        batches = [Batch.random(shape, dtype, context.device)]
        arms = {
            "standard": standard_attention(
                context["dropout"], padding_mask(batch, length, dtype, context.device)
            )
        }
        arms |= {name: fused(kind, context["dropout"]) for name, kind in kernels(context.device).items()}
        for phase in PHASES:
            found = _time_phase(context, phase, arms, batches)
            context.samples[f"{phase}, {length} tokens"] = dict(found.samples) if found else {}
            for arm in found.samples if found else ():
                curves[phase].setdefault(arm, []).append((length, found.median(arm)))
        release(context.device)
    for phase, lines in curves.items():
        context.chart(
            f"time_{phase.replace(' ', '_')}",
            f"Time of attention, {phase}",
            ("Sequence length", "tokens", True),
            ("Time", "ms", True),
            [curve(arm, *zip(*points, strict=True)) for arm, points in lines.items()],
        )


def _time_phase(
    context: Context, phase: str, arms: dict[str, Attend], batches: list[Batch]
) -> Comparison | None:
    """Times one phase of all arms that fit into memory; None if none does."""
    works = {}
    for name, attend in arms.items():
        try:
            works[name] = PHASES[phase](attend, batches)
            works[name](0)
        except torch.OutOfMemoryError:
            _leave_out(context, works, name, phase, batches[0])
    while works:
        try:
            how = profile(context.preset, KERNEL, warm_up_calls=2, max_s=0.6)
            return compare(works, next(iter(works)), how, context.device, again=False)
        except torch.OutOfMemoryError:
            _leave_out(context, works, next(iter(works)), phase, batches[0])
    return None


def _leave_out(context: Context, works: dict[str, Any], name: str, phase: str, batch: Batch) -> None:
    works.pop(name, None)
    context.log(f"{name} at {batch.gradient.shape[2]} tokens does not fit into memory ({phase}).")
    release(context.device)
