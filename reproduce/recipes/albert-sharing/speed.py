"""Time of whole pre-training steps: forward, backward and optimizer, one CUDA graph on a GPU."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.blocks.zoo import EncoderShape, Pretraining, materialise
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, Comparison, Work, compare, profile, release

from .shapes import SHAPES

MASKED = 0.15
UPDATE_BYTES = 28  # AdamW in fp32 reads weight, gradient and two moments, and writes all but the gradient
CLAIMED = 1.7


@dataclass
class Batch:
    """Ids, the flat places of those to predict with their labels, and whether sentences belong together."""

    tokens: torch.Tensor
    masked: torch.Tensor
    labels: torch.Tensor
    paired: torch.Tensor

    @classmethod
    def random(cls, count: int, length: int, vocabulary: int, device: torch.device) -> "Batch":
        """As many masked places in every sequence."""
        each = max(1, round(length * MASKED))
        columns = torch.rand(count, length, device=device).argsort(-1)[:, :each]
        rows = torch.arange(count, device=device)[:, None] * length
        return cls(
            torch.randint(vocabulary, (count, length), device=device),
            (rows + columns).flatten(),
            torch.randint(vocabulary, (count * each,), device=device),
            torch.randint(2, (count,), device=device),
        )


class Trainer:
    """A model with its optimizer; the state lives on from batch size to batch size."""

    def __init__(self, shape: EncoderShape, device: torch.device) -> None:
        self.device = device
        self.model = materialise(lambda: Pretraining(shape), device, torch.float32)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=1e-5, fused=True, capturable=device.type == "cuda"
        )

    def gradients(self, batch: Batch) -> None:
        """Forward and backward of both losses of pre-training."""
        with torch.autocast(self.device.type, torch.bfloat16):
            features = self.model.encoder(batch.tokens)
            words = self.model.words(features.flatten(0, 1)[batch.masked])
            pair = self.model.pair(self.model.encoder.pooled(features))
        loss = functional.cross_entropy(words.float(), batch.labels)
        (loss + functional.cross_entropy(pair.float(), batch.paired)).backward()

    def step(self, batch: Batch) -> None:
        """One update; its gradients are dropped."""
        self.gradients(batch)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def work(self, batch: Batch) -> Work:
        """The step on that batch, again and again; on a GPU as one launch."""
        return replayed(lambda: self.step(batch), self.device)

    def least(self, batch: Batch, ceilings: Probe) -> float:
        """Seconds of a step at least: the matrix products, and after them the optimizer's bytes."""
        flop = counting.flop(lambda: self.gradients(batch))
        self.optimizer.zero_grad(set_to_none=True)
        moved = UPDATE_BYTES * counting.parameters(self.model)
        return ceilings.least_time(flop) + ceilings.least_time(moved=moved)


def measure(context: Context, ceilings: Probe) -> None:
    """Measures throughput at the headline's batch; charts it over batch sizes."""
    trainers = {name: Trainer(shape, context.device) for name, shape in SHAPES[context["size"]].items()}
    headline, sizes = context["batch"], sorted({context["batch"], *context["batches"]})
    ratios, limits = [], []
    for index, size in enumerate(sizes):
        context.progress(0.3 + 0.7 * index / len(sizes), f"{size} sequences a step")
        found, least = _cell(context, trainers, ceilings, size, 4.0 if size == headline else 1.0)
        ratios.append(found.speedup("albert"))
        limits.append(least["bert"] / least["albert"])
        if size == headline:
            _report(context, found, least)
        release(context.device)
    _chart(context, sizes, ratios, limits)


def _cell(
    context: Context, trainers: dict[str, Trainer], ceilings: Probe, size: int, seconds: float
) -> tuple[Comparison, dict[str, float]]:
    vocabulary = trainers["bert"].model.bias.numel()
    batch = Batch.random(size, context["length"], vocabulary, context.device)
    least = {name: trainer.least(batch, ceilings) for name, trainer in trainers.items()}
    works = {name: trainer.work(batch) for name, trainer in trainers.items()}
    how = profile(context.preset, STEP, warm_up_calls=3, min_s=seconds / 2, max_s=seconds)
    found = compare(works, "bert", how, context.device)
    if size != context["batch"]:
        context.samples[f"batch_{size}"] = dict(found.samples)
    return found, least


def _report(context: Context, found: Comparison, least: dict[str, float]) -> None:
    context.keep("training", found)
    tokens = context["batch"] * context["length"]
    context.measure(
        "throughput",
        found.speedup("albert"),
        predicted=least["bert"] / least["albert"],
        predicted_note=f"The same products, {least['albert'] * 1e3:.3g} ms with ALBERT's optimizer; BERT's "
        f"moves {UPDATE_BYTES} bytes for each of 18 times as many parameters.",
        noise=found.noise(),
        detail={
            "tokens_a_step": tokens,
            "arms": found.figures(),
            "tokens_per_s": {name: tokens / found.median(name).value * 1e3 for name in least},
            "fraction_of_limit": {
                "candidate": least["albert"] * 1e3 / found.median("albert").value,
                "baseline": least["bert"] * 1e3 / found.median("bert").value,
            },
        },
    )


def _chart(context: Context, sizes: list[int], ratios: list[Interval], limits: list[float]) -> None:
    context.chart(
        "throughput_by_batch",
        f"Training speed of ALBERT-large over BERT-large, {context['length']} tokens a sequence",
        ("Sequences a step", "", True),
        ("Training speed", "x", False),
        [
            curve("measured", sizes, ratios),
            level("claimed by the paper", sizes, CLAIMED),
            {"label": "roofline limit", "x": sizes, "y": limits},
        ],
    )
