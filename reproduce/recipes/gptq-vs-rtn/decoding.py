"""Time of a decoder layer's products with one token: 4-bit weights against 16-bit ones, by model width."""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

from reproduce.recipes.blocks.gemv import GROUP, Packed4
from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from .product import matvec4

CLAIMED = 3.25
BITS = 4 + 32 / GROUP  # with a scale and an offset of 16 bits for each group
LIMIT = 2e-3  # relative error of a product: halves keep 11 bits

Product = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def measure(context: Context, ceilings: Probe) -> None:
    """Measures speedup at the paper's width; charts it over widths; guards the product."""
    widths = sorted({*context["widths"], context["width"]})
    ratios: list[Interval] = []
    for index, width in enumerate(widths):
        context.progress(0.05 + 0.2 * index / len(widths), f"products with one token at width {width}")
        main = width == context["width"]
        found, moved = _compared(context, width, main)
        ratios.append(found.speedup("4-bit"))
        if main:
            _report(context, ceilings, found, moved)
        release(context.device)
    context.chart(
        "speedup",
        "Speed of a decoder layer's products with one token, 4-bit against 16-bit weights",
        ("Width", "", True),
        ("Speed-up", "x", False),
        [
            curve("4-bit", widths, ratios),
            level("claimed by the paper", widths, CLAIMED),
            level("roofline limit", widths, 16 / BITS),
        ],
    )
    guard(context)


def shapes(width: int) -> list[tuple[int, int]]:
    """(outputs, inputs) of a layer of OPT: query, key, value, output, and the two of the feed-forward."""
    return [(width, width)] * 4 + [(4 * width, width), (width, 4 * width)]


def _half(context: Context) -> torch.dtype:
    return torch.float16 if context.device.type == "cuda" else torch.float32


def _compared(context: Context, width: int, main: bool) -> tuple[Comparison, dict[str, int]]:
    """The comparison at a width, and the bytes of each arm's weights."""
    kind, device = _half(context), context.device
    weights = [torch.randn(shape, device=device).to(kind) for shape in shapes(width)]
    packed = [Packed4.of(weight) for weight in weights]
    inputs = [torch.randn(shape[1], device=device).to(kind) for shape in shapes(width)]

    def all_of(product: Product, held: list) -> Callable[[], object]:
        return lambda: [product(weight, x) for weight, x in zip(held, inputs, strict=True)]

    works = {
        "16-bit": all_of(lambda weight, x: functional.linear(x[None], weight), weights),
        "4-bit": all_of(matvec4, packed),
    }
    if main and (tiny := _tinygemm(context, weights[0])):
        held = [tiny(weight) for weight in packed]
        works["4-bit, tinygemm"] = lambda: [product(x) for product, x in zip(held, inputs, strict=True)]
    arms = {name: replayed(work, device) for name, work in works.items()}
    limits = {"max_s": 3.0} if main else {"max_s": 0.6, "min_rounds": 10}
    found = compare(arms, "16-bit", profile(context.preset, KERNEL, **limits), device)
    context.keep(f"width_{width}", found)
    moved = {"16-bit": sum(w.numel() * 2 for w in weights), "4-bit": sum(p.bytes for p in packed)}
    return found, moved


def _report(context: Context, ceilings: Probe, found: Comparison, moved: dict[str, int]) -> None:
    least = {arm: ceilings.least_time(moved=size) * 1e3 for arm, size in moved.items()}
    context.measure(
        "speedup",
        found.speedup("4-bit"),
        predicted=moved["16-bit"] / moved["4-bit"],
        predicted_note=f"Every weight is read once: 16 bits against {BITS:g} with scales and offsets.",
        noise=found.noise(),
        detail={
            "fraction_of_limit": {
                "candidate": least["4-bit"] / found.median("4-bit").value,
                "baseline": least["16-bit"] / found.median("16-bit").value,
            },
            "weight_bytes": moved,
            "arms": found.figures(),
        },
    )


def _tinygemm(context: Context, weight: torch.Tensor) -> Callable[[Packed4], Callable] | None:
    """PyTorch's own 4-bit product, if it is there and right: how to prepare weights for it."""
    if context.device.type != "cuda":
        return None
    try:
        packed, x = Packed4.of(weight[:256]), torch.randn(weight.shape[1], device=weight.device)
        error = _error(_prepared(packed)(x)[0], packed, x)
    except (RuntimeError, AttributeError, TypeError) as reason:
        context.log(f"PyTorch's own 4-bit product is left out: {str(reason)[:300]}")
        return None
    if error > 1e-2:  # bf16 inputs, scales and output
        context.log(f"PyTorch's own 4-bit product is left out: its relative error is {error:.2g}.")
        return None
    return _prepared


def _prepared(packed: Packed4) -> Callable[[torch.Tensor], torch.Tensor]:
    """In its terms: (code - 8) * scale + zero, in bf16; two codes a byte, the even column higher."""
    codes = packed.codes()
    tiles = torch.ops.aten._convert_weight_to_int4pack(
        (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8), 8
    )
    zero = packed.offset.float() + 8 * packed.scale.float()
    scales = torch.stack((packed.scale.float(), zero), -1).bfloat16().transpose(0, 1).contiguous()
    return partial(_tiny_product, tiles, scales)


def _tiny_product(tiles: torch.Tensor, scales: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.ops.aten._weight_int4pack_mm(x.bfloat16()[None], tiles, GROUP, scales)


def guard(context: Context) -> None:
    """Guards the 4-bit product against float64 on the numbers that its codes stand for."""
    weight = torch.randn(max(context["width"] // 8, 64), context["width"], device=context.device)
    packed, x = Packed4.of(weight), torch.randn(context["width"], device=context.device).to(_half(context))
    error = _error(matvec4(packed, x), packed, x)
    context.guard("product", error, LIMIT, "Relative error of the 4-bit product against float64.")


def _error(found: torch.Tensor, packed: Packed4, x: torch.Tensor) -> float:
    expected = packed.restored().double() @ x.double()
    return ((found.double() - expected).norm() / expected.norm()).item()
