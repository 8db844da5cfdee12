"""Time of single operations in fp16 against fp32, with TF32 off as in the paper and on as is usual today."""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, Work, compare, profile, release

CLAIMED = 4.0  # the middle of "2-6x"
Operation = Callable[[list[torch.Tensor]], object]


def measure(context: Context, ceilings: Probe) -> None:
    """Measures gemm_speedup, gemm_speedup_tf32, layernorm_speedup and attention_speedup; charts by size."""
    context.progress(0.05, "matrix products")
    sizes = context["sizes"]
    products = {size: _product(context, size, 2.5 if size == sizes[-1] else 0.5) for size in sizes}
    largest = products[sizes[-1]]
    context.keep("gemm", largest)
    bound = ceilings.half / ceilings.single
    least = {"fp16": ceilings.least_time(2 * sizes[-1] ** 3) * 1e3}
    least["fp32"] = least["fp16"] * bound
    _report(context, "gemm_speedup", largest, "fp32", bound, "Matrix rates probed now, half / single.", least)
    _report(context, "gemm_speedup_tf32", largest, "fp32, TF32 on", None, "", least)
    context.progress(0.15, "layer norm and attention")
    _memory_bound(context, ceilings)
    _attention(context)
    _chart(context, products, bound)


def _product(context: Context, size: int, seconds: float) -> Comparison:
    wide = [[torch.randn(size, size, device=context.device) for _ in range(2)] for _ in range(2)]
    arms = _arms(wide, lambda pair: pair[0] @ pair[1])
    arms["fp32, TF32 on"] = partial(_with_tf32, arms["fp32"])
    found = compare(arms, "fp32", _how(context, seconds), context.device)
    del wide, arms
    release(context.device)
    return found


def _memory_bound(context: Context, ceilings: Probe) -> None:
    """Layer norm: reads and writes every element once, so half the bytes are half the time."""
    rows, width = context["norm_rows"], 4096
    wide = [[torch.randn(rows, width, device=context.device)] for _ in range(2)]
    arms = _arms(wide, lambda one: functional.layer_norm(one[0], (width,)))
    found = compare(arms, "fp32", _how(context, 0.8), context.device)
    context.keep("layernorm", found)
    moved = 2 * rows * width
    least = {way: ceilings.least_time(moved=moved * size) * 1e3 for way, size in (("fp16", 2), ("fp32", 4))}
    _report(context, "layernorm_speedup", found, "fp32", 2.0, "Half the bytes.", least)
    release(context.device)


def _attention(context: Context) -> None:
    """Forward and backward of causal attention by PyTorch's fused kernels."""
    shape = (context["attention_batch"], 16, context["length"], 64)
    wide = [
        [torch.randn(shape, device=context.device, requires_grad=True) for _ in range(3)] for _ in range(2)
    ]

    def attend(qkv: list[torch.Tensor]) -> object:
        out = functional.scaled_dot_product_attention(*qkv, is_causal=True)
        return torch.autograd.grad(out, qkv, out.detach())

    found = compare(_arms(wide, attend), "fp32", _how(context, 0.8), context.device)
    context.keep("attention", found)
    _report(context, "attention_speedup", found, "fp32", None, "", {})
    release(context.device)


def _arms(wide: list[list[torch.Tensor]], run: Operation) -> dict[str, Work]:
    """The operation on fp32 tensors and on the same rounded to fp16."""
    half = [[t.detach().half().requires_grad_(t.requires_grad) for t in each] for each in wide]
    return {"fp32": partial(_turn, run, wide), "fp16": partial(_turn, run, half)}


def _turn(run: Operation, inputs: list[list[torch.Tensor]], call: int) -> object:
    return run(inputs[call % len(inputs)])


def _with_tf32(work: Work, call: int) -> object:
    torch.set_float32_matmul_precision("high")
    try:
        return work(call)
    finally:
        torch.set_float32_matmul_precision("highest")


def _how(context: Context, seconds: float) -> object:
    return profile(context.preset, KERNEL, max_s=seconds, min_s=min(seconds, 0.3), min_rounds=10)


def _report(
    context: Context,
    name: str,
    found: Comparison,
    baseline: str,
    predicted: float | None,
    note: str,
    least: dict[str, float],
) -> None:
    """A speed-up of fp16, with how near both sides come to their least times (in ms)."""
    detail: dict[str, object] = {"arms": found.figures(), "baseline": baseline, "candidate": "fp16"}
    if least and baseline == "fp32":
        sides = {"candidate": "fp16", "baseline": "fp32"}
        detail["fraction_of_limit"] = {
            side: least[way] / found.median(way).value for side, way in sides.items()
        }
    context.measure(
        name,
        found.speedup("fp16", baseline),
        predicted=predicted,
        predicted_note=note,
        noise=found.noise(),
        detail=detail,
    )


def _chart(context: Context, products: dict[int, Comparison], bound: float) -> None:
    def against(baseline: str) -> list[Interval]:
        return [found.speedup("fp16", baseline) for found in products.values()]

    sizes = list(products)
    context.chart(
        "speedup_by_size",
        "Speed-up of matrix products in fp16 by size",
        ("Rows and columns", "", True),
        ("Speed-up", "x", True),
        [
            curve("against fp32", sizes, against("fp32")),
            curve("against fp32 with TF32", sizes, against("fp32, TF32 on")),
            level("claimed by the paper", sizes, CLAIMED),
            level("roofline limit", sizes, bound),
        ],
    )
