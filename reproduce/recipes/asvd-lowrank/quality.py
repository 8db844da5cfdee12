"""Loss of a small model over the share of its layers' parameters kept: ASVD against plain SVD, over seeds."""

import torch

from reproduce.recipes.blocks import ordering, outliers
from reproduce.recipes.blocks.learning import validation_loss
from reproduce.recipes.blocks.teacher import Teacher, linears, teacher
from reproduce.recipes.blocks.tinygpt import TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from . import factors

TARGETS = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
STATED = (0.9, 0.8)  # kept shares at which the ordering is asked for
LITTLE = 0.05  # nats a byte: RECIPES
GAIN = 60
OUTLIERS = {"smoke": 2, "full": 4}
SEQUENCES = {"smoke": 4, "full": 16}  # of calibration text, for inputs and sensitivities
SAME = 1e-4
TITLES = {"planted": "outliers planted", "plain": "model as trained"}
LEAST = 1e-4  # of a logarithmic axis
ARMS = ("ASVD", "SVD", "SVD, ranks searched")
Added = dict[str, dict[float, list[float]]]  # loss by arm and target, one for each seed


def measure(context: Context) -> None:
    """Measures kept, order and two added losses; charts loss over the kept share, plain and planted."""
    made = teacher(context, 0.05, 0.35)
    guard(context, made)
    found = {kind: _added(context, made, kind) for kind in ("plain", "planted")}
    context.samples["added_loss"] = {
        kind: {arm: {str(target): values for target, values in by.items()} for arm, by in added.items()}
        for kind, added in found.items()
    }
    _report(context, found)


def _added(context: Context, made: Teacher, kind: str) -> Added:
    """Searching ranks for plain SVD too is for context, so it is done with the first seed only."""
    added: Added = {arm: {target: [] for target in TARGETS} for arm in ARMS}
    seeds, begin = context["seeds"], 0.35 if kind == "plain" else 0.6
    for seed in range(seeds):
        context.progress(
            begin + 0.25 * seed / seeds, f"low-rank factors of the {kind} model, seed {seed + 1}"
        )
        model = (
            made.model
            if kind == "plain"
            else outliers.plant(made.model, GAIN, OUTLIERS[context.preset], seed)
        )
        base = made.loss(model, seed, seeds)
        for arm in ARMS if seed == 0 else ARMS[:2]:
            for target, cut in _cuts(context, made, model, arm, seed).items():
                added[arm][target].append(made.loss(cut, seed, seeds) - base)
    return added


def _cuts(context: Context, made: Teacher, model: TinyGPT, arm: str, seed: int) -> dict[float, TinyGPT]:
    """The model at each target by one arm."""
    tokens = made.calibration(seed, SEQUENCES[context.preset])
    basis = factors.bases(model, factors.mean_inputs(model, tokens) if arm == "ASVD" else None)
    if arm == "SVD":
        shares = {target: factors.uniform(model, target) for target in TARGETS}
    else:
        losses = factors.sensitivities(
            model, basis, lambda cut: validation_loss(cut, tokens, parts=1, half=False)
        )
        shares = {target: factors.searched(model, losses, target) for target in TARGETS}
    over = max(factors.kept_share(model, share) - target for target, share in shares.items())
    if over > 1e-9:
        raise ValueError(f"{arm} keeps {over:.3g} more of the parameters than it may.")
    return {target: factors.compressed(model, basis, share) for target, share in shares.items()}


def _report(context: Context, found: dict[str, Added]) -> None:
    plain, planted = found["plain"], found["planted"]
    by_seed = [[plain["ASVD"][target][seed] for target in TARGETS] for seed in range(context["seeds"])]
    censored = sum(max(losses) <= LITTLE for losses in by_seed)
    context.measure(
        "kept",
        mean_of([smallest_kept(losses) for losses in by_seed]),
        detail={"little_loss": LITTLE, "least_tried": TARGETS[-1], "seeds_that_never_crossed": censored},
    )
    holds, detail = ordering.order_holds(
        *(
            ordering.Pair(f"{kind}, {target:.0%} kept", added["ASVD"][target], added["SVD"][target])
            for kind, added in (("planted", planted), ("plain", plain))
            for target in STATED
        )
    )
    context.measure("order", holds, n=context["seeds"], detail=detail)
    context.measure("loss_asvd", mean_of(plain["ASVD"][0.9]), detail={"little_loss": LITTLE})
    context.measure("loss_svd", mean_of(plain["SVD"][0.9]))
    for kind, added in found.items():
        context.chart(
            f"loss_{kind}",
            f"Loss added by low-rank factors, {TITLES[kind]}",
            ("Share of the parameters kept", "fraction", False),
            ("Added validation loss", "nats a byte", True),
            [
                curve(arm, TARGETS, [mean_of([max(x, LEAST) for x in added[arm][t]]) for t in TARGETS])
                for arm in ARMS
            ],
        )


def smallest_kept(losses: list[float]) -> float:
    """The smallest share kept with little loss added, straight lines between the targets, no loss at one."""
    before, share = (1.0, 0.0), 1.0
    for target, loss in zip(TARGETS, losses, strict=True):
        if loss > LITTLE:
            return before[0] - (before[0] - target) * (LITTLE - before[1]) / (loss - before[1])
        before, share = (target, max(loss, 0.0)), target
    return share


def guard(context: Context, made: Teacher) -> None:
    """Guards that planting changes nothing and that factors of full rank give the model back."""
    tokens = made.calibration(0, SEQUENCES[context.preset])
    planted = outliers.plant(made.model, GAIN, OUTLIERS[context.preset], 0)
    context.guard(
        "planted_same",
        outliers.difference(made.model, planted, tokens),
        outliers.UNCHANGED,
        "Largest difference of the logits with planted outliers, in fp32, relative to the largest logit.",
    )
    basis = factors.bases(planted, factors.mean_inputs(planted, tokens))
    off = max(_off(layer.weight, basis[name]) for name, layer in linears(planted))
    context.guard(
        "full_rank", off, SAME, "Relative error of a layer's weight from all of its factors, the worst."
    )
    cut = factors.compressed(planted, basis, factors.uniform(planted, 0.5))
    before, after = (sum(part.weight.numel() for _, part in linears(model)) for model in (planted, cut))
    excess = after / before - factors.kept_share(planted, factors.uniform(planted, 0.5))
    context.guard(
        "counted", abs(excess), 1e-9, "Share of parameters in the factors, counted against planned."
    )


def _off(weight: torch.Tensor, basis: factors.Basis) -> float:
    return ((basis.left @ basis.right - weight).norm() / weight.norm()).item()
