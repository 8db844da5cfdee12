"""Time of each layer, forward and backward, over sequence lengths at a constant number of tokens."""

from collections.abc import Callable

import torch
from torch import nn

from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, slope
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from .layers import Recurrent, SelfAttention, attention_flop, recurrent_flop

ATTENTION, FUSED, LSTM = "self-attention", "self-attention, fused", "LSTM"
PASSES = 3  # a backward pass does the forward pass's products twice
FEW = 16  # sequences; cuDNN's fastest LSTM kernels want a multiple of 16
MATRICES = 9  # n x n matrices read or written by the unfused forward and backward pass


def measure(context: Context, ceilings: Probe) -> None:
    """Times all layers; measures the exponents, the ordering below n = d, and the speed-up there."""
    found = {length: _time(context, length) for length in context["lengths"]}
    _exponents(context, ceilings, found)
    _recurrent_exponent(context)
    _ordering(context, ceilings, found)
    _chart(context, found)


def _time(context: Context, length: int) -> Comparison:
    """Milliseconds of a batch of `tokens` tokens; the LSTM only up to its longest length."""
    lengths = context["lengths"]
    context.progress(0.2 + 0.7 * lengths.index(length) / len(lengths), f"time at n = {length}")
    width, dtype = context["width"], _dtype(context)
    size = (max(1, context["tokens"] // length), length, width)
    batches = [torch.randn(size, device=context.device, dtype=dtype) for _ in range(2)]
    layers: dict[str, nn.Module] = {
        ATTENTION: SelfAttention(width, context["heads"]),
        FUSED: SelfAttention(width, context["heads"], "fused"),
    }
    if length <= context["longest_recurrent"]:
        layers[LSTM] = Recurrent(width)
    works = {name: _step(layer.to(context.device, dtype), batches) for name, layer in layers.items()}
    main = length == _below(context)[-1]
    how = profile(context.preset, KERNEL, warm_up_calls=2, max_s=2.0 if main else 0.5)
    times = compare(works, ATTENTION, how, context.device, again=main)
    if main:
        context.keep("below_width", times)
    else:
        context.samples[f"{length} tokens"] = dict(times.samples)
    release(context.device)
    return times


def _below(context: Context) -> list[int]:
    """The lengths below the width; the shortest length of all if there is none."""
    lengths = context["lengths"]
    return [length for length in lengths if length < context["width"]] or [min(lengths)]


def _step(layer: nn.Module, batches: list[torch.Tensor]) -> Callable[[int], object]:
    """Forward, and the gradients of input and weights."""
    wanted, gradient = [*layer.parameters()], torch.randn_like(batches[0])

    def work(call: int) -> object:
        x = batches[call % len(batches)].detach().requires_grad_()
        return torch.autograd.grad(layer(x), [x, *wanted], gradient)

    return work


def _exponents(context: Context, ceilings: Probe, found: dict[int, Comparison]) -> None:
    lengths = list(found)
    for name, arm in (("attention_exponent", ATTENTION), ("fused_exponent", FUSED)):
        batches = [max(1, context["tokens"] // length) for length in lengths]
        times = [found[n].median(arm).value / batch for n, batch in zip(lengths, batches, strict=True)]
        least = [_least(context, ceilings, arm, length) for length in lengths]
        context.measure(
            name,
            slope(lengths, times),
            predicted=slope(lengths, least).value,
            predicted_note="Slope of the least times by arithmetic and bytes over the same lengths; it nears "
            "2 as the n x n part outgrows the projections.",
            detail={
                "lengths": lengths,
                "ms_a_sequence": times,
                "fraction_of_limit": {arm: least[-1] * 1e3 / times[-1]},
            },
        )


def _recurrent_exponent(context: Context) -> None:
    """The LSTM's own: few sequences at every length, as filling the GPU with more would hide the steps."""
    lengths = [length for length in context["lengths"] if length <= context["longest_recurrent"]]
    layer, times = Recurrent(context["width"]).to(context.device, _dtype(context)), []
    for length in lengths:
        size = (FEW, length, context["width"])
        work = _step(layer, [torch.randn(size, device=context.device, dtype=_dtype(context))])
        how = profile(context.preset, KERNEL, warm_up_calls=2, max_s=0.3)
        found = compare({LSTM: work}, LSTM, how, context.device, again=False)
        context.samples[f"LSTM, {FEW} sequences, {length} tokens"] = dict(found.samples)
        times.append(found.median(LSTM).value)
    context.measure(
        "recurrent_exponent",
        slope(lengths, times),
        predicted=1.0,
        predicted_note="Table 1: n steps of equal work, one after another.",
        detail={"lengths": lengths, "sequences": FEW, "ms": times},
    )


def _least(context: Context, ceilings: Probe, arm: str, length: int) -> float:
    """Seconds that one sequence takes at least, forward and backward."""
    width, size = context["width"], _dtype(context).itemsize
    if arm == LSTM:
        return ceilings.least_time(PASSES * recurrent_flop(width, length))
    matrices = MATRICES * context["heads"] * length**2 * size if arm == ATTENTION else 0
    return ceilings.least_time(PASSES * attention_flop(width, length), matrices)


def _ordering(context: Context, ceilings: Probe, found: dict[int, Comparison]) -> None:
    """At each n below d: the time of attention in memory lies below the LSTM's, paired over rounds."""
    below = _below(context)[::-1]
    pairs = [Pair(f"n = {n}", found[n].samples[ATTENTION], found[n].samples[LSTM]) for n in below]
    holds, detail = order_holds(*pairs)
    context.measure("faster_below_width", holds, n=len(pairs[0].better), detail=detail)
    main, at = found[below[0]], below[0]
    slower = [n for n in found if LSTM in found[n].samples and found[n].speedup(ATTENTION, LSTM).value < 1]
    limits = {
        arm: _least(context, ceilings, arm, at) * (context["tokens"] // at) for arm in (ATTENTION, LSTM)
    }
    context.measure(
        "speedup_below_width",
        main.speedup(ATTENTION, LSTM),
        predicted=limits[LSTM] / limits[ATTENTION],
        predicted_note="By arithmetic and bytes alone, as if the LSTM's steps need not wait for one another.",
        noise=main.noise(),
        detail={
            "length": at,
            "arms": main.figures(),
            "fraction_of_limit": {
                name: limits[arm] * 1e3 / main.median(arm).value
                for name, arm in (("candidate", ATTENTION), ("baseline", LSTM))
            },
            "lengths_at_which_attention_is_slower": slower,
        },
    )


def _chart(context: Context, found: dict[int, Comparison]) -> None:
    lines = []
    for arm in (ATTENTION, FUSED, LSTM):
        lengths = [length for length in found if arm in found[length].samples]
        lines.append(
            curve(arm, lengths, [_a_token(context, found[length].median(arm)) for length in lengths])
        )
    context.chart(
        "time_a_token",
        f"One layer, forward and backward, d = {context['width']}, {context['tokens']} tokens a batch",
        ("Sequence length", "tokens", True),
        ("Time", "ns/token", True),
        lines,
    )


def _a_token(context: Context, time: Interval) -> Interval:
    """Nanoseconds a token from milliseconds a batch."""
    scale = 1e6 / context["tokens"]
    return Interval(time.value * scale, time.low * scale, time.high * scale, time.n)


def _dtype(context: Context) -> torch.dtype:
    """fp16, in which cuDNN's LSTM is fastest; fp32 on a CPU."""
    return torch.float16 if context.device.type == "cuda" else torch.float32
