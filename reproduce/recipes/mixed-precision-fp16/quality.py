"""A small byte model learns Python five ways from the same start on the same batches, over seeds."""

from dataclasses import dataclass
from functools import partial

import torch

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.ordering import Pair, order_holds
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from . import formats

SAME_START = 0.02  # nats; formats round the first loss differently
MOST_BROKEN = 0.01  # share of steps
JUDGED = {"smoke": 4, "full": 16}  # batches of held-out text
PARTS = 4


@dataclass(frozen=True)
class Learnt:
    """One training run, the share of held-out bytes that the model predicts, in percent, and lost updates."""

    curve: learning.Curve
    accuracy: float
    lost: float  # share of updates that rounding undid; zero with master weights


def measure(context: Context) -> None:
    """Measures loss_gap, accuracy_change and order; guards equal starts and steps that overflow."""
    corpus = corpora.code(context["corpus_kb"] * 1000)
    context.data.update({"corpus": corpus.record(), "tokenizer": "bytes"})
    text, found = Text.of(corpus, context.device), {name: [] for name in formats.WAYS}
    for seed in range(context["seeds"]):
        for name, runs in found.items():
            context.progress(0.55 + 0.45 * seed / context["seeds"], f"seed {seed + 1}: {name}")
            runs.append(_learn(context, text, name, seed))
    finals = {name: [_finite(run.curve.final) for run in runs] for name, runs in found.items()}
    context.samples["quality"] = finals
    _guards(context, found)
    gaps = [half - wide for half, wide in zip(finals["fp16"], finals["fp32"], strict=True)]
    means = {name: sum(values) / len(values) for name, values in finals.items()}
    context.measure("loss_gap", mean_of(gaps), detail={"nats_per_byte": means})
    changes = [a.accuracy - b.accuracy for a, b in zip(found["fp16"], found["fp32"], strict=True)]
    context.measure("accuracy_change", mean_of(changes))
    held, detail = order_holds(
        Pair("master weights", finals["fp16"], finals["fp16 without master weights"]),
        Pair("loss scaling", finals["fp16"], finals["fp16 without loss scaling"]),
    )
    lost = [run.lost for run in found["fp16 without master weights"]]
    context.measure("order", held, n=context["seeds"], detail={**detail, "updates_lost": lost})
    _chart(context, found)


def _learn(context: Context, text: Text, name: str, seed: int) -> Learnt:
    way, length = formats.WAYS[name], context["lm_length"]
    width = context["lm_width"]
    shape = Shape(context["lm_layers"], width, max(1, width // 64), length)
    model = TinyGPT(shape, seed=seed).to(context.device)
    plan = learning.Plan(context["steps"], context["rate"], seed=seed, half=False)
    loss, lost = formats.loss_of(way, context["loss_scale"]), []
    held_out = text.held_out(context["lm_batch"] * JUDGED[context.preset], length)
    found = learning.train(
        model,
        lambda _, generator: text.draw(context["lm_batch"], length, generator),
        plan,
        partial(learning.validation_loss, batch=held_out, parts=PARTS, loss=loss, half=False),
        optimizer=formats.optimizer_of(way, plan, lost),
        loss=loss,
        graphed=context.device.type == "cuda",
    )
    updates, undone = lost[0].tolist() if lost else (1.0, 0.0)
    return Learnt(found, _accuracy(model, way, held_out), undone / updates)


def _accuracy(model: TinyGPT, way: formats.Way, tokens: torch.Tensor) -> float:
    with torch.no_grad():
        copies, right = formats.narrow(model, way, 1.0), 0.0
        for part in tokens.chunk(PARTS):
            logits = torch.func.functional_call(model, copies, (part[:, :-1],))
            right += (logits.argmax(dim=-1) == part[:, 1:]).sum().item()
    return 100 * right / tokens[:, 1:].numel()


def _guards(context: Context, found: dict[str, list[Learnt]]) -> None:
    starts = [[run.curve.losses[0] for run in runs] for runs in found.values()]
    apart = max(max(column) - min(column) for column in zip(*starts, strict=True))
    context.guard(
        "same_start", apart, SAME_START, "Largest difference of the first losses of one seed, nats."
    )
    steps = [loss for run in found["fp16"] for loss in run.curve.losses]
    broken = sum(_finite(loss) != loss for loss in steps) / len(steps)
    context.guard("no_overflow", broken, MOST_BROKEN, "Share of fp16's steps whose loss was not finite.")


def _finite(loss: float) -> float:
    """The loss, or that of guessing among bytes, doubled, if it is not a number or beyond that."""
    worst = 2 * 5.545
    return loss if loss < worst else worst


def _chart(context: Context, found: dict[str, list[Learnt]]) -> None:
    lines = []
    for name, runs in found.items():
        columns = zip(*([_finite(loss) for loss in run.curve.validation] for run in runs), strict=True)
        lines.append(curve(name, runs[0].curve.marks, [mean_of(column) for column in columns]))
    context.chart(
        "validation_loss",
        "Validation loss of a small model by number format",
        ("Step", "", False),
        ("Validation loss", "nats a byte", False),
        lines,
    )
