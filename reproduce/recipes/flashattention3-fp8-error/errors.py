"""Errors against fp64 over head widths, lengths and seeds: FP8 with and without each idea, and fp16."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of

from . import kernels, rounding

FULL, NO_BLOCK, NO_MIX, BASELINE = "block scales and mixing", "mixing only", "block scales only", "per tensor"
HALF_STANDARD, HALF_FLASH = "fp16, standard", "fp16, FlashAttention-2"
ARMS = (FULL, NO_BLOCK, NO_MIX, BASELINE, HALF_STANDARD, HALF_FLASH)
CLAIMED = 0.0091
Found = dict[str, np.ndarray]  # by arm: (head widths, lengths, seeds)


def identities(context: Context) -> None:
    """Guards what must hold exactly: M is orthogonal, mixing changes no score, and no rounding no result."""
    for width in context["head_dims"]:
        mix = rounding.mixer(width, context.device)
        q, k, v = rounding.draw(context["lengths"][0], width, context.device)
        one = torch.eye(width, dtype=torch.float64, device=context.device)
        scores = q @ k.T
        mixed = (q @ mix) @ (k @ mix).T
        plain = rounding.fused(q, k, v, lambda x: x, mix, lambda x: x)
        rounded = rounding.per_block(v)
        for name, value, limit, detail in (
            ("orthogonal", (mix.T @ mix - one).abs().max(), 1e-12, "Largest entry of M'M - 1."),
            (
                "same_scores",
                (mixed - scores).abs().max() / scores.abs().max(),
                1e-10,
                "Largest difference of (Q M)(K M)' to Q K', relative, in fp64.",
            ),
            (
                "same_without_rounding",
                (plain - rounding.exact(q, k, v)).abs().max(),
                1e-10,
                "Largest difference of the emulated kernel without any rounding to attention in fp64.",
            ),
            (
                "e4m3_step",
                ((rounded - v).abs() / v.abs().clamp(min=v.abs().max() / 1000)).max(),
                2**-4,
                "Largest relative rounding error where e4m3 is normal: half a step of three bits.",
            ),
        ):
            context.guard(f"{name}_d{width}", float(value), limit, detail)


def measure(context: Context) -> None:
    """Measures the errors and their ratios over the whole grid, and whether the stated ordering holds."""
    found = _collect(context)
    context.samples["rmse"] = {arm: values.round(9).tolist() for arm, values in found.items()}
    overall = {arm: _over_grid(values) for arm, values in found.items()}
    cells = {"head_dims": context["head_dims"], "lengths": context["lengths"], "seeds": context["seeds"]}
    for name, worse, better in (
        ("error_saving", BASELINE, FULL),
        ("error_saving_half", HALF_STANDARD, HALF_FLASH),
    ):
        ratios = overall[worse] / overall[better]
        by_cell = (found[worse].mean(-1) / found[better].mean(-1)).round(4).tolist()
        context.measure(name, mean_of(ratios), detail=cells | {"by_cell": by_cell})
    context.measure(
        "error_saving_longest", mean_of(found[BASELINE][:, -1].mean(0) / found[FULL][:, -1].mean(0))
    )
    for name, arm in (("error", FULL), ("error_unmixed", NO_MIX), ("error_per_tensor", BASELINE)):
        context.measure(name, mean_of(overall[arm]), detail=cells)
    holds, detail = order_holds(
        Pair("no block scales below no mixing", overall[NO_BLOCK], overall[NO_MIX]),
        Pair("full below no block scales", overall[FULL], overall[NO_BLOCK]),
        Pair("full below per tensor", overall[FULL], overall[BASELINE]),
    )
    context.measure("ordering", holds, n=context["seeds"], detail=detail)
    _charts(context, found)


def _collect(context: Context) -> Found:
    widths, lengths, seeds = context["head_dims"], context["lengths"], context["seeds"]
    found = {arm: np.zeros((len(widths), len(lengths), seeds)) for arm in ARMS}
    for i, width in enumerate(widths):
        for j, length in enumerate(lengths):
            done = (i * len(lengths) + j) / (len(widths) * len(lengths))
            context.progress(0.1 + 0.5 * done, f"errors at d = {width}, n = {length}")
            for seed in range(seeds):
                for arm, error in _errors(width, length, context.device).items():
                    found[arm][i, j, seed] = error
    return found


def _errors(width: int, length: int, device: torch.device) -> dict[str, float]:
    """Root mean square error of each arm, on one fresh draw that all share."""
    q, k, v = rounding.draw(length, width, device)
    mix, wanted = rounding.mixer(width, device), rounding.exact(q, k, v)
    halves = [tensor.half()[None, None] for tensor in (q, k, v)]
    arms = {
        FULL: partial(rounding.fused, q, k, v, rounding.per_block, mix),
        NO_BLOCK: partial(rounding.fused, q, k, v, rounding.per_tensor, mix),
        NO_MIX: partial(rounding.fused, q, k, v, rounding.per_block, None),
        BASELINE: partial(rounding.baseline, q, k, v),
        HALF_STANDARD: partial(kernels.standard, *halves),
        HALF_FLASH: partial(kernels.flash, *halves),
    }
    return {
        arm: (work().squeeze().double() - wanted).square().mean().sqrt().item() for arm, work in arms.items()
    }


def _over_grid(errors: np.ndarray) -> np.ndarray:
    """For each seed the geometric mean over head widths and lengths, since the paper states neither."""
    return np.exp(np.log(errors).mean((0, 1)))


def _charts(context: Context, found: Found) -> None:
    lengths, widths = context["lengths"], context["head_dims"]
    shown = widths.index(128) if 128 in widths else 0
    for name, title, arms, claimed in (
        ("errors_fp8", "FP8 attention", ARMS[:4], CLAIMED),
        ("errors_fp16", "fp16 attention", ARMS[4:], 1.9e-4),
    ):
        lines = [curve(arm, lengths, _intervals(found[arm][shown])) for arm in arms]
        context.chart(
            name,
            f"Error of {title} against fp64, head width {widths[shown]}",
            ("Sequence length", "tokens", True),
            ("Root mean square error", "", True),
            [*lines, level("claimed by the paper", lengths, claimed)],
        )


def _intervals(errors: Sequence[np.ndarray]) -> list[Interval]:
    return [mean_of(list(seeds)) for seeds in errors]
