"""A small byte model learns Python with four kinds of optimizer states, over seeds: losses and divergence."""

from functools import partial

import torch
from torch import nn

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.eight_bit import BLOCK, Adam8bit
from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

WORST = 2 * 5.545  # nats a byte: twice the loss of guessing; what a run that broke counts as
KINDS: dict[str, tuple[str, int | None] | None] = {
    "32-bit": None,
    "linear": ("linear", None),
    "dynamic": ("dynamic", None),
    "dynamic, block-wise": ("dynamic", BLOCK),
}


def measure(context: Context) -> None:
    """Measures unstable_linear, loss_gap and order."""
    corpus = corpora.code(context["corpus_kb"] * 1000)
    context.data.update({"corpus": corpus.record(), "tokenizer": "bytes"})
    text, found = Text.of(corpus, context.device), {name: [] for name in KINDS}
    for seed in range(context["seeds"]):
        context.progress(0.35 + 0.65 * seed / context["seeds"], f"training with seed {seed + 1}")
        for name, runs in found.items():
            runs.append(_learn(context, text, name, seed))
    finals = {name: [_finite(run.final) for run in runs] for name, runs in found.items()}
    broken = {name: [float(run.diverged()) for run in runs] for name, runs in found.items()}
    context.samples["quality"] = finals
    means = {name: sum(values) / len(values) for name, values in finals.items()}
    context.measure("unstable_linear", mean_of(broken["linear"]), detail={"all_kinds": broken})
    best = finals["dynamic, block-wise"]
    gaps = [narrow - wide for narrow, wide in zip(best, finals["32-bit"], strict=True)]
    context.measure("loss_gap", mean_of(gaps), detail={"nats_per_byte": means})
    held, detail = order_holds(
        Pair("block-wise below linear", best, finals["linear"]),
        Pair("dynamic below linear", finals["dynamic"], finals["linear"]),
        Pair("block-wise below dynamic", best, finals["dynamic"]),
    )
    context.measure("order", held, n=context["seeds"], detail=detail)
    _chart(context, found)


def optimizer_of(kind: str, plan: learning.Plan) -> learning.Make:
    """AdamW with that kind of states; norms do not decay, and their states stay in 32 bits."""
    how = KINDS[kind]
    if how is None:
        return learning.adamw(plan)

    def make(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        groups = [
            {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": plan.weight_decay},
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        rate = torch.tensor(plan.rate, device=parameters[0].device)
        return Adam8bit(groups, lr=rate, betas=plan.betas, kind=how[0], block=how[1])

    return make


def _learn(context: Context, text: Text, kind: str, seed: int) -> learning.Curve:
    width, length = context["lm_width"], context["lm_length"]
    shape = Shape(context["lm_layers"], width, max(1, width // 64), length)
    model = TinyGPT(shape, seed=seed).to(context.device)
    plan = learning.Plan(context["steps"], context["rate"], seed=seed)
    held_out = text.held_out(context["lm_batch"] * 4, length)
    return learning.train(
        model,
        lambda _, generator: text.draw(context["lm_batch"], length, generator),
        plan,
        partial(learning.validation_loss, batch=held_out, parts=4),
        optimizer=optimizer_of(kind, plan),
        graphed=context.device.type == "cuda",
    )


def _finite(loss: float) -> float:
    return loss if loss < WORST else WORST


def _chart(context: Context, found: dict[str, list[learning.Curve]]) -> None:
    lines = []
    for name, runs in found.items():
        columns = zip(*([_finite(loss) for loss in run.validation] for run in runs), strict=True)
        lines.append(curve(name, runs[0].marks, [mean_of(column) for column in columns]))
    context.chart(
        "validation_loss",
        "Validation loss by kind of optimizer state",
        ("Step", "", False),
        ("Validation loss", "nats a byte", False),
        lines,
    )
