"""A small byte model learns Python with AdamW and with GaLore: as many learning rates tried, over seeds."""

from functools import partial

from torch import nn

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from . import galore

RATES = {"adamw": (3e-4, 1e-3, 3e-3), "galore": (4e-3, 1.2e-2, 4e-2)}  # GaLore's are scaled by alpha, 1/4
TUNING_SEED = 1000
REFRESHES = 4  # bases found in a run


def measure(context: Context) -> None:
    """Measures loss_gap; charts validation losses."""
    corpus = corpora.code(context["corpus_kb"] * 1000)
    context.data.update({"corpus": corpus.record(), "tokenizer": "bytes"})
    text, tried = Text.of(corpus, context.device), {}
    for index, (arm, rates) in enumerate(RATES.items()):
        context.progress(0.4 + 0.15 * index, f"learning rates for {arm}")
        tried[arm] = {rate: _learn(context, text, arm, rate, TUNING_SEED).final for rate in rates}
    best = {arm: min(losses, key=losses.__getitem__) for arm, losses in tried.items()}
    found: dict[str, list[learning.Curve]] = {arm: [] for arm in RATES}
    for seed in range(context["seeds"]):
        context.progress(0.7 + 0.3 * seed / context["seeds"], f"training with seed {seed + 1}")
        for arm, runs in found.items():
            runs.append(_learn(context, text, arm, best[arm], seed))
    finals = {arm: [run.final for run in runs] for arm, runs in found.items()}
    context.samples["quality"] = finals
    gaps = [ours - theirs for ours, theirs in zip(finals["galore"], finals["adamw"], strict=True)]
    context.measure(
        "loss_gap",
        mean_of(gaps),
        detail={
            "nats_per_byte": finals,
            "learning_rates": best,
            "tried": {
                arm: {f"{rate:g}": loss for rate, loss in losses.items()} for arm, losses in tried.items()
            },
            "rank": _rank(context),
        },
    )
    context.chart(
        "validation_loss",
        "Validation loss of a small model",
        ("Step", "", False),
        ("Validation loss", "nats a byte", False),
        [curve(arm, runs[0].marks, _means(runs)) for arm, runs in found.items()],
    )


def _means(runs: list[learning.Curve]) -> list[object]:
    return [mean_of(values) for values in zip(*(run.validation for run in runs), strict=True)]


def _rank(context: Context) -> int:
    return context["lm_width"] // 4  # as 128 of 512 in the paper's smallest model


def _learn(context: Context, text: Text, arm: str, rate: float, seed: int) -> learning.Curve:
    width, length = context["lm_width"], context["lm_length"]
    shape = Shape(context["lm_layers"], width, max(1, width // 64), length)
    model = TinyGPT(shape, seed=seed).to(context.device)
    plan = learning.Plan(context["steps"], rate, seed=seed)
    held_out = text.held_out(context["lm_batch"] * 4, length)
    return learning.train(
        model,
        lambda _, generator: text.draw(context["lm_batch"], length, generator),
        plan,
        partial(learning.validation_loss, batch=held_out, parts=4),
        optimizer=partial(_galore, context, plan, model) if arm == "galore" else None,
    )


def _galore(
    context: Context, plan: learning.Plan, model: TinyGPT, parameters: list[nn.Parameter]
) -> galore.GaLore:
    """GaLore on the model's inner matrices; embeddings and norms learn at a quarter, as without alpha."""
    del parameters
    groups = galore.groups_of(model.named_parameters(), _rank(context), plan.weight_decay)
    for group in groups:
        if "rank" not in group:
            group["lr"] = plan.rate / 4
    every = max(1, context["steps"] // REFRESHES)
    return galore.GaLore(groups, lr=plan.rate, betas=plan.betas, every=every)
