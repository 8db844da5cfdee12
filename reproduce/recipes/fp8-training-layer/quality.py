"""A small byte model learns Python with its products in fp8 and in bf16, over seeds."""

from functools import partial

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from . import fp8

PARITY = 0.01  # nats a byte
ARMS = ("bf16", "fp8")


def measure(context: Context) -> None:
    """Measures loss_gap; guards it in the full preset; charts validation losses."""
    corpus = corpora.code(context["corpus_kb"] * 1000)
    context.data.update({"corpus": corpus.record(), "tokenizer": "bytes"})
    text = Text.of(corpus, context.device)
    found: dict[str, list[learning.Curve]] = {arm: [] for arm in ARMS}
    for seed in range(context["seeds"]):
        context.progress(0.6 + 0.4 * seed / context["seeds"], f"training with seed {seed + 1}")
        for arm, runs in found.items():
            runs.append(_learn(context, text, arm, seed))
    finals = {arm: [run.final for run in runs] for arm, runs in found.items()}
    context.samples["quality"] = finals
    gap = mean_of([narrow - wide for narrow, wide in zip(finals["fp8"], finals["bf16"], strict=True)])
    context.measure("loss_gap", gap, detail={"nats_per_byte": finals})
    if context.full:  # a few steps say nothing
        context.guard("same_loss", gap.value, PARITY, "Mean validation loss, fp8 minus bf16, nats a byte.")
    lines = []
    for arm, runs in found.items():
        columns = zip(*(run.validation for run in runs), strict=True)
        lines.append(curve(arm, runs[0].marks, [mean_of(column) for column in columns]))
    context.chart(
        "validation_loss",
        "Validation loss of a small model",
        ("Step", "", False),
        ("Validation loss", "nats a byte", False),
        lines,
    )


def _learn(context: Context, text: Text, arm: str, seed: int) -> learning.Curve:
    width, length = context["lm_width"], context["lm_length"]
    model = TinyGPT(Shape(context["lm_layers"], width, max(1, width // 64), length), seed=seed)
    if arm == "fp8":
        fp8.convert(model.blocks)  # embeddings and logits stay in bf16, as in the paper
    model.to(context.device)
    held_out = text.held_out(context["lm_batch"] * 4, length)
    return learning.train(
        model,
        lambda _, generator: text.draw(context["lm_batch"], length, generator),
        learning.Plan(context["steps"], context["rate"], seed=seed),
        partial(learning.validation_loss, batch=held_out, parts=4),
    )
