"""What pruning costs a small model, plain and with planted outliers, by pattern, method and seed."""

import copy
import math

import torch

from reproduce.recipes.blocks import hessian, ordering, outliers
from reproduce.recipes.blocks.teacher import Teacher, linears, teacher
from reproduce.recipes.blocks.tinygpt import TinyGPT
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import mean_of

from . import pruning
from .pruning import PATTERNS, Pattern

GAIN = 60  # the large features of large models: arXiv:2208.07339, section 4
OUTLIERS = {"smoke": 2, "full": 4}
STATED = ("50%", "2:4")  # patterns for which the ordering is stated
TITLES = {"planted": "outliers planted", "plain": "as trained"}
METHODS = ("magnitude", "wanda", "magnitude_by_row", "wanda_by_layer", "sparsegpt")
Losses = dict[str, dict[str, list[float]]]  # by method and pattern, one for each seed


def measure(context: Context) -> None:
    """Measures order, two added losses and two perplexities; charts loss over sparsity."""
    made = teacher(context, 0.1, 0.35)
    guard(context, made)
    found = {}
    for place, (name, gain) in enumerate({"planted": GAIN, "plain": 1}.items()):
        found[name] = _losses(context, made, gain, 0.35 + 0.2 * place)
    context.samples["losses"] = found
    _report(context, made, found)
    by_planted_channels(context, made, found["planted"]["wanda"]["50%"])


def _losses(context: Context, made: Teacher, gain: float, begin: float) -> Losses:
    """Methods that are no part of the ordering with the first seed only."""
    found: Losses = {method: {pattern.name: [] for pattern in PATTERNS} for method in METHODS}
    seeds = context["seeds"]
    for seed in range(seeds):
        context.progress(
            begin + 0.2 * seed / seeds, f"pruning with outliers {gain:g} times as large, seed {seed + 1}"
        )
        model = outliers.plant(made.model, gain, OUTLIERS[context.preset], seed)
        tokens = made.calibration(seed, context["calibration"])
        for method in METHODS if seed == 0 else METHODS[:2]:
            for pattern in PATTERNS:
                loss = made.loss(pruned(model, tokens, method, pattern), seed, seeds)
                found[method][pattern.name].append(loss)
    return found


def pruned(model: TinyGPT, tokens: torch.Tensor, method: str, pattern: Pattern) -> TinyGPT:
    """A copy with that many weights of every layer removed; magnitude needs no calibration."""
    if method != "magnitude":
        remove = getattr(pruning, method)
        return hessian.by_block(model, tokens, lambda weight, products: remove(weight, products, pattern))
    changed = copy.deepcopy(model)
    for _, layer in linears(changed):
        layer.weight.data.copy_(pruning.magnitude(layer.weight, layer.weight, pattern))
    return changed


def without_planted(context: Context, made: Teacher, seed: int) -> TinyGPT:
    """A copy in which the inputs that planting makes large are zero, as magnitude pruning leaves them."""
    changed = copy.deepcopy(made.model)
    channels = outliers.channels_of(changed.shape.width, OUTLIERS[context.preset], seed)
    for block in changed.blocks:
        for norm in (block.norm_mixer, block.norm_forward):
            norm.weight[channels] = 0.0
    return changed


def by_planted_channels(context: Context, made: Teacher, wanda: list[float]) -> None:
    """Charts magnitude pruning of a half over how many channels are planted; Wanda is blind to that."""
    width, seeds, half = made.model.shape.width, context["seeds"], Pattern(0.5)
    counts = [2**power for power in range(int(math.log2(width)) - 2)]
    lines = []
    for count in counts:
        planted = [outliers.plant(made.model, GAIN, count, seed) for seed in range(seeds)]
        losses = [
            made.loss(pruned(model, made.held, "magnitude", half), seed, seeds)
            for seed, model in enumerate(planted)
        ]
        lines.append(mean_of(losses))
    context.chart(
        "planted_channels",
        "Validation loss of a model pruned to a half, by planted channels",
        (f"Planted channels of {width}", "", True),
        ("Validation loss", "nats a byte", False),
        [curve("magnitude", counts, lines), curve("wanda", counts, [mean_of(wanda)] * len(counts))],
    )


def _report(context: Context, made: Teacher, found: dict[str, Losses]) -> None:
    wanda, magnitude = found["planted"]["wanda"], found["planted"]["magnitude"]
    seeds = context["seeds"]
    dense = [made.loss(made.model, seed, seeds) for seed in range(seeds)]
    holds, detail = ordering.order_holds(
        *(ordering.Pair(name, wanda[name], magnitude[name]) for name in STATED)
    )
    means = {
        kind: {m: {name: sum(v) / len(v) for name, v in by.items()} for m, by in losses.items()}
        for kind, losses in found.items()
    }
    needed = [made.loss(without_planted(context, made, seed), seed, seeds) for seed in range(seeds)]
    context.measure(
        "order",
        holds,
        n=seeds,
        detail={
            **detail,
            "nats_per_byte": means,
            "dense": sum(dense) / seeds,
            "added_without_planted_channels": (sum(needed) - sum(dense)) / seeds,
        },
    )
    for name, losses in (("loss_half_wanda", wanda), ("loss_half_magnitude", magnitude)):
        context.measure(name, mean_of([loss - base for loss, base in zip(losses["50%"], dense, strict=True)]))
    for name, pattern in (("perplexity_half", "50%"), ("perplexity_2_of_4", "2:4")):
        context.measure(
            name, mean_of([math.exp(loss) for loss in wanda[pattern]]), detail={"perplexity_of": "bytes"}
        )
    shares = [pattern.share for pattern in PATTERNS if not pattern.of]
    for kind, losses in found.items():
        lines = [
            curve(m.replace("_", " "), shares, [mean_of(losses[m][f"{share:.0%}"]) for share in shares])
            for m in METHODS
        ]
        context.chart(
            f"loss_{kind}",
            f"Validation loss of a pruned small model, {TITLES[kind]}",
            ("Weights removed", "fraction", False),
            ("Validation loss", "nats a byte", False),
            [*lines, level("not pruned", shares, sum(dense) / seeds)],
        )


def guard(context: Context, made: Teacher) -> None:
    """Guards exact sparsity, an unchanged planted model, and that SparseGPT's update lowers the error."""
    tokens = made.calibration(0, context["calibration"])
    planted = outliers.plant(made.model, GAIN, OUTLIERS[context.preset], 0)
    context.guard(
        "planted_same",
        outliers.difference(made.model, planted, tokens[:8]),
        outliers.UNCHANGED,
        "Largest difference of the logits with planted outliers, in fp32, relative to the largest logit.",
    )
    seen = hessian.gather(planted, linears(planted), tokens.split(32))
    off, ratios = 0.0, []
    for name, layer in list(linears(planted))[:6]:  # a block
        weight, products = layer.weight, seen[name].products
        for pattern in PATTERNS:
            new = {method: getattr(pruning, method)(weight, products, pattern) for method in METHODS}
            off = max(off, *(_sparsity_off(one, pattern) for one in new.values()))
            errors = [hessian.reconstruction_error(weight, new[m], products) for m in ("sparsegpt", "wanda")]
            ratios.append(errors[0] / errors[1])
    context.guard(
        "sparsity", off, 1.0, "Zeros too many or too few, in weights a row: n:m exact, else to rounding."
    )
    context.guard(
        "compensates",
        sum(ratios) / len(ratios),
        1.0,
        "Error of a layer's output on the same inputs, SparseGPT / Wanda, mean over a block's layers.",
    )


def _sparsity_off(weight: torch.Tensor, pattern: Pattern) -> float:
    """Of the layer, or as if all groups of neighbours were like the one that is furthest off."""
    groups = (weight == 0).float().unflatten(-1, (-1, pattern.of)) if pattern.of else (weight == 0).float()
    shares = groups.mean(-1) if pattern.of else groups.mean()
    return (shares - pattern.share).abs().max().item() * weight.shape[1]
