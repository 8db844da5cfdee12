"""Time of whole pre-training steps on the same sequences: packed, and padded in two ways."""

from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.blocks.zoo import ENCODERS, Attend, Pretraining, materialise
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, Comparison, compare, profile, release

from . import attention, packing
from .batches import Layout, Sequences, build

UPDATE_BYTES = 28  # AdamW in fp32 reads weight, gradient and two moments, and writes all but the gradient
CLAIMED = 2.0
ARMS = ("packed", "padded", "padded, lean")


def losses(model: Pretraining, sequences: Sequences, layout: Layout, attend: Attend) -> torch.Tensor:
    """(sequences,) both losses of each sequence: its masked words on average, and its pair."""
    features = model.encoder(layout.tokens, attend, layout.places).flatten(0, 1)
    words = functional.cross_entropy(
        model.words(features[layout.masked]).float(), sequences.labels, reduction="none"
    )
    pooled = model.encoder.pooled(features[layout.first][:, None])
    pairs = functional.cross_entropy(model.pair(pooled).float(), sequences.paired, reduction="none")
    return pairs.index_add(0, sequences.owner, words * sequences.weights)


@dataclass
class Trainer:
    """A model with its optimizer, which all arms train in turn."""

    model: Pretraining
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(cls, name: str, device: torch.device) -> "Trainer":
        """With random weights."""
        model = materialise(lambda: Pretraining(ENCODERS[name]), device, torch.float32)
        options = {"lr": 1e-5, "fused": True, "capturable": device.type == "cuda"}
        return cls(model, torch.optim.AdamW(model.parameters(), **options))

    def step(self, sequences: Sequences, layout: Layout, attend: Attend) -> None:
        """Forward, backward and update."""
        with torch.autocast(layout.tokens.device.type, torch.bfloat16):
            loss = losses(self.model, sequences, layout, attend).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def measure(context: Context, ceilings: Probe) -> None:
    """Measures speedup and speedup_lean; charts both over shares of padding."""
    trainer = Trainer.of(context["model"], context.device)
    claimed = round(packing.PADDING * 100)
    shares = sorted({*context["paddings"], claimed})
    found: dict[str, list[Interval]] = {arm: [] for arm in ARMS[1:]}
    rows: list[float] = []
    for index, share in enumerate(shares):
        context.progress(0.3 + 0.7 * index / len(shares), f"{share} % padding")
        sequences = drawn(context, share / 100)
        times = _compare(context, trainer, sequences, 4.0 if share == claimed else 1.0)
        rows.append(len(sequences.lengths) / context["packs"])
        for arm, ratios in found.items():
            ratios.append(times.speedup("packed", arm))
        if share == claimed:
            _report(context, ceilings, trainer, sequences, times)
        else:
            context.samples[f"padding_{share}"] = dict(times.samples)
        release(context.device)
    _chart(context, shares, found, rows)


def drawn(context: Context, padding: float, packs: int | None = None) -> Sequences:
    """Typical packs of the best fit at that share of padding, as random tokens."""
    length = context["length"]
    every = packing.best_fit(packing.histogram(length, padding))
    rows = packing.draw(every, packs or context["packs"])
    return build(rows, length, ENCODERS[context["model"]].vocabulary, context.device)


def _compare(context: Context, trainer: Trainer, sequences: Sequences, seconds: float) -> Comparison:
    """The three arms on the same sequences; the padded rows with their mask are the baseline."""
    layouts = {
        "packed": (sequences.packed, attention.inside(sequences.packed, half=True)),
        "padded": (sequences.padded, attention.under_padding_mask(sequences.padded)),
        "padded, lean": (sequences.padded, attention.inside(sequences.padded, half=True)),
    }
    works = {
        arm: replayed(partial(trainer.step, sequences, *layout), context.device)
        for arm, layout in layouts.items()
    }
    how = profile(context.preset, STEP, warm_up_calls=3, min_s=seconds / 2, max_s=seconds)
    return compare(works, "padded", how, context.device)


def _report(
    context: Context, ceilings: Probe, trainer: Trainer, sequences: Sequences, times: Comparison
) -> None:
    context.keep("training", times)
    least = {arm: _least(trainer.model, sequences, arm, ceilings) for arm in ARMS}
    tokens = sum(sequences.lengths)
    for name, baseline in (("speedup", "padded"), ("speedup_lean", "padded, lean")):
        context.measure(
            name,
            times.speedup("packed", baseline),
            predicted=least[baseline] / least["packed"],
            predicted_note="FLOP of products over all positions and of attention over pairs of positions "
            "that may meet, then the optimizer's bytes.",
            noise=times.noise(),
            detail={
                "sequences": len(sequences.lengths),
                "padding": 1 - tokens / sequences.padded.real.numel(),
                "attention_inside_sequences": attention.kernel_of(sequences.packed),
                "arms": times.figures(),
                "real_tokens_per_s": {arm: tokens / times.median(arm).value * 1e3 for arm in ARMS},
                "fraction_of_limit": {
                    "candidate": least["packed"] * 1e3 / times.median("packed").value,
                    "baseline": least[baseline] * 1e3 / times.median(baseline).value,
                },
            },
        )


def _least(model: Pretraining, sequences: Sequences, arm: str, ceilings: Probe) -> float:
    """Seconds of a step at least: 6 FLOP a weight and position, 12 a channel and pair of positions; AdamW."""
    layout = sequences.packed if arm == "packed" else sequences.padded
    shape = model.encoder.shape
    rows, length = layout.tokens.shape
    pairs = rows * length**2 if arm == "padded" else sum(size**2 for size in sequences.lengths)
    words = model.transform.weight.numel() + shape.vocabulary * shape.width
    flop = (
        6 * layout.tokens.numel() * sum(p.numel() for p in model.encoder.layers.parameters() if p.dim() > 1)
    )
    flop += 12 * shape.layers * shape.width * pairs + 6 * len(sequences.labels) * words
    return ceilings.least_time(flop) + ceilings.least_time(moved=UPDATE_BYTES * counting.parameters(model))


def _chart(context: Context, shares: list[int], found: dict[str, list[Interval]], rows: list[float]) -> None:
    """`rows` are padded rows for each packed one, which bounds the speed-up of all but attention."""
    labels = {"padded": "against a padding mask", "padded, lean": "against real tokens only"}
    context.chart(
        "speedup_by_padding",
        "Speed-up of packed over padded rows, the same sequences",
        ("Padding in padded rows", "%", False),
        ("Speed-up", "x", False),
        [curve(labels[arm], shares, ratios) for arm, ratios in found.items()]
        + [
            {"label": "roofline limit", "x": shares, "y": rows},
            level("claimed by the paper", shares, CLAIMED),
        ],
    )
