"""Which axis to round along: errors of keys and loss of a small model with a 2-bit cache."""

import copy
import math
from collections.abc import Callable

import torch

from reproduce.recipes.blocks import ordering, outliers
from reproduce.recipes.blocks.quantizing import rounded
from reproduce.recipes.blocks.teacher import Teacher, teacher
from reproduce.recipes.blocks.tinygpt import TinyGPT
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of

from .cache import GROUP

GAINS = (1, 3, 10, 30)
MAIN = 10  # of some channels of the keys, as in figure 2 of the paper
OUTLIERS = 4  # channels of a head
RECENT = 32  # tokens that stay as they are: a whole group, so that no rounded one knows a later one
AXES = {
    "KIVI: keys per channel, values per token": ("channel", "token"),
    "both per token": ("token", "token"),
    "both per channel": ("channel", "channel"),
    "keys per token, values per channel": ("token", "channel"),
}
KIVI, PLAIN = list(AXES)[:2]
SAME = 1e-5


def measure(context: Context) -> None:
    """Measures order, key_error_ratio and loss_added; charts errors over the size of outliers."""
    made = teacher(context, 0.5, 0.75)
    guard(context, made)
    seeds = context["seeds"]
    errors: dict[int, dict[str, list[float]]] = {gain: {"channel": [], "token": []} for gain in GAINS}
    losses: dict[str, list[float]] = {name: [] for name in AXES}
    dense = [made.loss(made.model, seed, seeds) for seed in range(seeds)]
    for seed in range(seeds):
        context.progress(0.75 + 0.25 * seed / seeds, f"rounding caches, seed {seed + 1}")
        for gain in GAINS:
            planted = outliers.plant_in_keys(made.model, gain, OUTLIERS, seed)
            keys = _keys(planted, made.held_out(seed, seeds)[:, :-1])
            for axis, found in errors[gain].items():
                found.append(_error(keys, axis))
        planted = outliers.plant_in_keys(made.model, MAIN, OUTLIERS, seed)
        for name, axes in AXES.items():
            losses[name].append(made.loss(with_cache(planted, *axes, RECENT), seed, seeds))
    context.samples["quality"] = {
        "dense": dense,
        "losses": losses,
        "key_errors": {str(g): e for g, e in errors.items()},
    }
    _report(context, dense, losses, errors)


def _report(context: Context, dense: list[float], losses: dict[str, list[float]], errors: dict) -> None:
    holds, detail = ordering.order_holds(
        ordering.Pair(
            "error of keys, per channel below per token", errors[MAIN]["channel"], errors[MAIN]["token"]
        ),
        ordering.Pair("loss, keys per channel below per token", losses[KIVI], losses[PLAIN]),
    )
    means = {name: sum(values) / len(values) for name, values in losses.items()}
    context.measure("order", holds, n=len(dense), detail={**detail, "nats_per_byte": means, "outliers": MAIN})
    ratios = {gain: _ratio(found) for gain, found in errors.items()}
    context.measure(
        "key_error_ratio", ratios[MAIN], detail={"by_outliers": {str(g): r.value for g, r in ratios.items()}}
    )
    context.measure("loss_added", mean_of([a - b for a, b in zip(losses[KIVI], dense, strict=True)]))
    context.chart(
        "key_errors",
        "Error of 2-bit keys, per token divided by per channel, by the size of planted outliers",
        ("Outliers larger by", "x", True),
        ("Error ratio", "x", False),
        [curve("small model", GAINS, list(ratios.values())), level("claimed by the paper", GAINS, 3.0)],
    )


def _ratio(found: dict[str, list[float]]) -> Interval:
    return mean_of([token / channel for token, channel in zip(found["token"], found["channel"], strict=True)])


def round_along(x: torch.Tensor, axis: str) -> torch.Tensor:
    """(batch, heads, tokens, D) to 2 bits: 32 channels of a token or 32 tokens of a channel share a scale."""
    if axis == "token":
        return rounded(x, 2, GROUP)
    return rounded(x.transpose(2, 3), 2, GROUP).transpose(2, 3)


def with_cache(model: TinyGPT, key_axis: str, value_axis: str, recent: int) -> TinyGPT:
    """A copy in which a token sees rounded keys and values but for the newest `recent`."""
    changed = copy.deepcopy(model)
    for block in changed.blocks:
        block.mixer.attend = _attending(key_axis, value_axis, recent)
    return changed


def _attending(key_axis: str, value_axis: str, recent: int) -> Callable[..., torch.Tensor]:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        back = torch.arange(q.shape[2], device=q.device)[:, None] - torch.arange(k.shape[2], device=q.device)
        old = back >= recent
        plain, coarse = (
            q @ keys.transpose(2, 3) / math.sqrt(q.shape[-1]) for keys in (k, round_along(k, key_axis))
        )
        weights = torch.where(old, coarse, plain).masked_fill(back < 0, -math.inf).softmax(-1)
        return (weights * ~old) @ v + (weights * old) @ round_along(v, value_axis)

    return attend


def _keys(model: TinyGPT, tokens: torch.Tensor) -> list[torch.Tensor]:
    """Each layer's keys (batch, heads, tokens, D) after rotation, of a few sequences."""
    found: list[torch.Tensor] = []
    watched = copy.deepcopy(model)
    for block in watched.blocks:
        true = block.mixer.attend
        block.mixer.attend = lambda q, k, v, bias, true=true: (found.append(k), true(q, k, v, bias))[1]
    with torch.no_grad():
        watched(tokens[:16])
    return found


def _error(keys: list[torch.Tensor], axis: str) -> float:
    """Of 2-bit keys relative to their size, over all layers."""
    wrong = sum((round_along(k, axis) - k).square().sum().item() for k in keys)
    return math.sqrt(wrong / sum(k.square().sum().item() for k in keys))


def guard(context: Context, made: Teacher) -> None:
    """Guards that planting changes no logit, nor a cache all of whose tokens are recent."""
    tokens = made.calibration(0, 8)
    planted = outliers.plant_in_keys(made.model, MAIN, OUTLIERS, 0)
    context.guard(
        "planted_same",
        outliers.difference(made.model, planted, tokens),
        outliers.UNCHANGED,
        "Largest difference of the logits with planted outliers, in fp32, relative to the largest logit.",
    )
    whole = with_cache(planted, "channel", "token", tokens.shape[1])
    context.guard(
        "all_recent_same",
        outliers.difference(planted, whole, tokens),
        SAME,
        "The same with a cache that rounds nothing yet.",
    )
