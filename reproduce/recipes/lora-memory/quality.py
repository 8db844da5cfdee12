"""A small byte model learns code, then prose: how far LoRA comes, against full fine-tuning, over seeds."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from reproduce.recipes import corpora
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import mean_of

from .transformer import Decoder, Shape, build

RATES = {"full": (1e-4, 3e-4, 1e-3, 3e-3), "lora": (1e-3, 3e-3, 1e-2, 3e-2)}  # as many tries for both ways
PRETRAIN_RATE = 1e-3
TUNING_SEED = 1000
EVALUATIONS = 8  # along each adaptation
LIMIT = 1e-3
PARITY = 0.02  # nats a byte


@dataclass
class Domain:
    """Bytes on the device, and how to draw from them."""

    train: torch.Tensor
    validation: torch.Tensor

    @classmethod
    def of(cls, corpus: corpora.Corpus, device: torch.device) -> "Domain":
        """Copies a corpus to the device."""
        halves = (
            torch.frombuffer(bytearray(part), dtype=torch.uint8) for part in (corpus.train, corpus.validation)
        )
        return cls(*(half.to(device) for half in halves))

    def draw(self, count: int, length: int, generator: torch.Generator) -> torch.Tensor:
        """(count, length + 1) byte ids from random places of the training part."""
        starts = torch.randint(len(self.train) - length - 1, (count, 1), generator=generator)
        places = starts + torch.arange(length + 1)
        return self.train[places.to(self.train.device)].long()

    def held_out(self, count: int, length: int) -> torch.Tensor:
        """(count, length + 1) byte ids, evenly spread over the validation part; the same each time."""
        starts = torch.linspace(0, len(self.validation) - length - 2, count).long()[:, None]
        return self.validation[(starts + torch.arange(length + 1)).to(self.validation.device)].long()


@dataclass
class Adaptation:
    """One adaptation: validation loss in nats a byte at each evaluation, and the model it ended with."""

    model: Decoder
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def measure(context: Context) -> None:
    """Measures quality_gap; guards merging and the frozen weights with the adapters that were learnt."""
    code, prose = (make(context["corpus_kb"] * 1000) for make in (corpora.code, corpora.prose))
    context.data.update({"pretraining": code.record(), "adaptation": prose.record(), "tokenizer": "bytes"})
    domains = [Domain.of(corpus, context.device) for corpus in (code, prose)]
    base = _pretrained(context, domains[0])
    before = _loss(context, base, domains[1])
    rates, tried = _tuned(context, base, domains[1])
    runs: dict[str, list[Adaptation]] = {way: [] for way in RATES}
    for seed in range(context["seeds"]):
        context.progress(0.8 + 0.2 * seed / context["seeds"], f"adapting with seed {seed + 1}")
        for way in RATES:
            runs[way].append(_adapt(context, base, domains[1], way, rates[way], seed))
    _guard_merging(context, base, runs["lora"][0].model, domains[1])
    gaps = [lora.losses[-1] - full.losses[-1] for lora, full in zip(runs["lora"], runs["full"], strict=True)]
    context.samples["quality"] = {way: [run.losses for run in found] for way, found in runs.items()}
    context.measure(
        "quality_gap",
        mean_of(gaps),
        predicted_note="Not a matter of hardware.",
        detail={
            "nats_per_byte": {way: [run.losses[-1] for run in found] for way, found in runs.items()},
            "before_adapting": before,
            "parity_within": PARITY,
            "learning_rates": rates,
            "tried": tried,
            "trainable": {"full": _size(base.base()), "lora": _size(base.adapters())},
        },
    )
    _chart(context, runs, before)


def _pretrained(context: Context, code: Domain) -> Decoder:
    width = context["lm_width"]
    shape = Shape(context["lm_layers"], width, max(1, width // 64), 4 * width, 256, context["lm_length"])
    model = build(shape, context.device, torch.float32, context["rank"], seed=1)
    context.progress(0.65, "a small language model learns code")
    model.switch("base", model.base())
    _learn(context, model, model.base(), code, context["pretrain_steps"], PRETRAIN_RATE, 0, None)
    return model


def _tuned(context: Context, base: Decoder, prose: Domain) -> tuple[dict[str, float], dict[str, Any]]:
    """The best of as many learning rates for each way, on a seed of its own."""
    context.progress(0.72, "learning rates for both ways of adapting")
    tried = {
        way: {rate: _adapt(context, base, prose, way, rate, TUNING_SEED).losses[-1] for rate in rates}
        for way, rates in RATES.items()
    }
    best = {way: min(losses, key=losses.__getitem__) for way, losses in tried.items()}
    return best, {way: {f"{rate:g}": loss for rate, loss in losses.items()} for way, losses in tried.items()}


def _adapt(context: Context, base: Decoder, prose: Domain, way: str, rate: float, seed: int) -> Adaptation:
    model = copy.deepcopy(base)
    trained = model.base() if way == "full" else model.adapters()
    if way == "lora":
        torch.manual_seed(seed)
        for projection in model.projections():
            projection.down.data.normal_(0.0, projection.in_features**-0.5)
            projection.up.data.zero_()
    model.switch("base" if way == "full" else "adapter", trained)
    found = Adaptation(model)
    _learn(context, model, trained, prose, context["adapt_steps"], rate, seed, found)
    return found


def _learn(
    context: Context,
    model: Decoder,
    trained: list[nn.Parameter],
    domain: Domain,
    steps: int,
    rate: float,
    seed: int,
    found: Adaptation | None,
) -> None:
    """Adam with a short warm-up and a cosine to zero; evaluates along the way if `found` is given."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0, fused=True)
    marks = {round(steps * part / EVALUATIONS) for part in range(1, EVALUATIONS + 1)}
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 20) * (1 + math.cos(math.pi * (step - 1) / steps)) / 2
        with _autocast(context):
            loss = model.loss(domain.draw(context["lm_batch"], context["lm_length"], generator))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if found is not None and step in marks:
            found.steps.append(step)
            found.losses.append(_loss(context, model, domain))


def _loss(context: Context, model: Decoder, domain: Domain) -> float:
    """Validation loss in nats a byte."""
    tokens = domain.held_out(8 * context["lm_batch"], context["lm_length"])
    with torch.no_grad(), _autocast(context):
        return sum(model.loss(part).item() for part in tokens.chunk(8)) / 8


def _guard_merging(context: Context, base: Decoder, adapted: Decoder, prose: Domain) -> None:
    tokens = prose.held_out(context["lm_batch"], context["lm_length"])
    apart, merged = _both_modes(adapted, tokens)
    difference = ((merged[0] - apart[0]).norm() / apart[0].norm()).item()
    context.guard(
        "merged_same_fp32",
        difference,
        LIMIT,
        "Relative difference of the logits, merged against apart, in fp32.",
    )
    apart, merged = _both_modes(copy.deepcopy(adapted).bfloat16(), tokens)
    context.guard(
        "merged_same_bf16",
        abs(merged[1] - apart[1]),
        LIMIT,
        f"Difference of the loss in nats a byte, merged {merged[1]:.5f}, apart {apart[1]:.5f}, in bf16.",
    )
    moved = max((a - b).abs().max().item() for a, b in zip(adapted.base(), base.base(), strict=True))
    context.guard("base_frozen", moved, 0.0, "Largest change of a frozen weight while the adapters learnt.")


def _both_modes(model: Decoder, tokens: torch.Tensor) -> list[tuple[torch.Tensor, float]]:
    """Logits and loss with the adapters apart, then merged."""
    for projection in model.projections():
        projection.merge()
    found = []
    for mode in ("adapter", "merged"):
        model.switch(mode)
        with torch.no_grad():
            found.append((model(tokens[:, :-1]).float(), model.loss(tokens).item()))
    return found


def _chart(context: Context, runs: dict[str, list[Adaptation]], before: float) -> None:
    labels = {"full": "full fine-tuning", "lora": "LoRA"}
    steps = [0, *runs["full"][0].steps]
    lines = []
    for way, label in labels.items():
        curves = [[before, *run.losses] for run in runs[way]]
        lines.append(curve(label, steps, [mean_of(values) for values in zip(*curves, strict=True)]))
    context.chart(
        "validation_loss",
        "Validation loss while a model of code learns prose",
        ("Step", "", False),
        ("Validation loss", "nats a byte", False),
        lines,
    )


def _size(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _autocast(context: Context) -> Any:
    return torch.autocast("cuda", torch.bfloat16, enabled=context.device.type == "cuda")
