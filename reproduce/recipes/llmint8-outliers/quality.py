"""What int8 costs a small trained model in whose features outliers were planted, by scheme, gain and seed."""

import copy
import math

import torch
from torch import nn

from reproduce.recipes.blocks import ordering, outliers
from reproduce.recipes.blocks.teacher import Teacher, linears, replace, teacher
from reproduce.recipes.blocks.tinygpt import TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from . import schemes

GAINS = (1, 20, 60, 300)
MAIN = 60  # large models: features of about 60 where others stay below 3.5 (the paper's section 4)
KEPT, LOST = 0.01, 0.2  # nats a byte: RECIPES
PERPLEXITIES = {
    "perplexity_int8": "LLM.int8()",
    "perplexity_absmax": "absmax",
    "perplexity_vector": "vector-wise",
}
Losses = dict[str, list[float]]  # added loss by scheme, one for each seed


def measure(context: Context) -> None:
    """Measures order, loss_int8, loss_absmax and three perplexities; charts added loss over the gain."""
    made = teacher(context, 0.1, 0.4)
    guard(context, made)
    seeds = context["seeds"]
    dense = [made.loss(made.model, seed, seeds) for seed in range(seeds)]
    found: dict[int, Losses] = {}
    for index, gain in enumerate(GAINS):
        context.progress(0.4 + 0.3 * index / len(GAINS), f"int8 with outliers {gain} times as large")
        found[gain] = _added(context, made, gain, dense)
    context.samples["added_loss"] = {str(gain): losses for gain, losses in found.items()}
    _report(context, dense, found)
    context.chart(
        "added_loss",
        "Loss that int8 adds to a small model, by the size of planted outliers",
        ("Outliers larger by", "x", True),
        ("Added validation loss", "nats a byte", False),
        [curve(name, GAINS, [mean_of(found[gain][name]) for gain in GAINS]) for name in schemes.SCHEMES],
    )


def _added(context: Context, made: Teacher, gain: int, dense: list[float]) -> Losses:
    added: Losses = {name: [] for name in schemes.SCHEMES}
    for seed, base in enumerate(dense):
        planted = outliers.plant(made.model, gain, context["outliers"], seed)
        for name in schemes.SCHEMES:
            added[name].append(made.loss(int8_model(planted, name), seed, len(dense)) - base)
    return added


def int8_model(model: TinyGPT, scheme: str) -> TinyGPT:
    """A copy all of whose products but the last are in int8."""
    changed = copy.deepcopy(model)
    for name, layer in list(linears(changed)):
        replace(changed, name, schemes.Int8Linear(layer.weight, scheme))
    return changed


def _report(context: Context, dense: list[float], found: dict[int, Losses]) -> None:
    """The ordering at the main gain; what is kept and what is lost at the largest."""
    added, extreme = found[MAIN], found[GAINS[-1]]
    kept, absmax, vector = (added[name] for name in ("LLM.int8()", "absmax", "vector-wise"))
    holds, detail = ordering.order_holds(
        ordering.Pair("LLM.int8() below vector-wise", kept, vector),
        ordering.Pair("vector-wise below absmax", vector, absmax),
        ordering.Pair(f"LLM.int8() adds less than {KEPT} nats", extreme["LLM.int8()"], [KEPT] * len(kept)),
        ordering.Pair(f"absmax adds more than {LOST} nats", [LOST] * len(absmax), extreme["absmax"]),
    )
    means = {
        f"outliers {gain} times as large": {name: sum(by) / len(by) for name, by in losses.items()}
        for gain, losses in found.items()
    }
    context.measure("order", holds, n=len(dense), detail={**detail, "gain": MAIN, "added_nats": means})
    context.measure("loss_int8", mean_of(kept), detail={"kept_below": KEPT})
    context.measure("loss_absmax", mean_of(absmax), detail={"lost_above": LOST})
    for measure, scheme in PERPLEXITIES.items():
        growth = [
            math.exp(base + more) - math.exp(base) for base, more in zip(dense, added[scheme], strict=True)
        ]
        context.measure(measure, mean_of(growth), detail={"perplexity_of": "bytes", "gain": MAIN})


def guard(context: Context, made: Teacher) -> None:
    """Guards that planting changes no logit, and that few columns are kept out of int8."""
    tokens = made.calibration(0, 8)
    planted = outliers.plant(made.model, MAIN, context["outliers"], 0)
    context.guard(
        "planted_same",
        outliers.difference(made.model, planted, tokens),
        outliers.UNCHANGED,
        "Largest difference of the logits with planted outliers, in fp32, relative to the largest logit.",
    )
    share = apart_share(planted, tokens)
    context.guard(
        "few_apart",
        share,
        0.01 if context.full else 0.1,
        "Share of the planted layers' columns that are multiplied apart, the mean over single sequences.",
    )


def apart_share(model: TinyGPT, tokens: torch.Tensor) -> float:
    """Mean share of outlier columns in the inputs of q, k, v and the feed-forward, sequence by sequence."""
    shares: list[float] = []

    def count(_: nn.Module, given: tuple[torch.Tensor]) -> None:
        shares.append(schemes.outliers(given[0].flatten(0, -2)).float().mean().item())

    fed = [layer for name, layer in linears(model) if not name.endswith(("out", "down"))]
    hooks = [layer.register_forward_pre_hook(count) for layer in fed]
    with torch.no_grad():
        for sequence in tokens.split(1):
            model(sequence)
    for hook in hooks:
        hook.remove()
    return sum(shares) / len(shares)
