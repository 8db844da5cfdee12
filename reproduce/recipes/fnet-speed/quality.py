"""A small trend: both encoders learn to fill in masked bytes and to tell which part of the code a text is of.

A text's class is the sixteenth of the standard library it stands in; every tenth block is held out.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes import corpora
from reproduce.recipes.blocks import learning
from reproduce.recipes.blocks.tinygpt import sinusoids
from reproduce.recipes.context import Context
from reproduce.recipes.intervals import mean_of
from reproduce.recipes.toolbox import release

from .encoder import Encoder, Shape

CLASSES, BLOCK, HELD_OUT = 16, 1024, 10
MASK, MASKED = 256, 0.15
GRID = tuple((rate, before) for before in (False, True) for rate in (4e-4, 1e-3, 2.5e-3))
SEARCH = 3  # a search trains for this part of the steps, on a seed of its own
SEARCH_SEED = 100
KINDS = {"bert": "flash", "fnet": "by_products"}
CORPUS_BYTES = 8_000_000
Cell = tuple[float, bool]  # of the grid: learning rate, norms before or after


@dataclass
class Texts:
    """(classes, blocks, BLOCK) bytes; windows lie inside a block, so that no two halves share a byte."""

    train: torch.Tensor
    held_out: torch.Tensor

    @classmethod
    def of(cls, content: bytes, device: torch.device) -> "Texts":
        """Cuts the bytes into classes and blocks."""
        each = len(content) // (CLASSES * BLOCK)
        flat = torch.frombuffer(bytearray(content[: CLASSES * each * BLOCK]), dtype=torch.uint8)
        blocks = flat.view(CLASSES, each, BLOCK).to(device)
        last = torch.arange(each, device=device) % HELD_OUT == HELD_OUT - 1
        return cls(blocks[:, ~last], blocks[:, last])

    def draw(self, part: torch.Tensor, count: int, length: int, generator: torch.Generator) -> torch.Tensor:
        """(count, 1 + 2 length): the class, the bytes with 15 % masked, and the bytes as they were."""
        kind = torch.randint(CLASSES, (count,), generator=generator)
        block = torch.randint(part.shape[1], (count,), generator=generator)
        start = torch.randint(BLOCK - length, (count, 1), generator=generator) + torch.arange(length)
        hidden = torch.rand(count, length, generator=generator) < MASKED
        kind, block, start, hidden = (t.to(part.device) for t in (kind, block, start, hidden))
        text = part[kind[:, None], block[:, None], start].long()
        return torch.cat((kind[:, None], text.masked_fill(hidden, MASK), text), dim=1)


class Learner(nn.Module):
    """An encoder that fills in bytes, and from the mean of its features names the class."""

    def __init__(self, shape: Shape, kind: str, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = Encoder(shape, kind)
            self.kinds = nn.Linear(shape.width, CLASSES)
            start(self.encoder)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the classes, and of the byte at every place."""
        x = self.encoder.features(batch[:, 1 : 1 + batch.shape[1] // 2])
        return self.kinds(x.mean(1)), self.encoder.logits(x)

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the class plus the mean of the masked bytes'."""
        kinds, tokens = self(batch)
        shown, wanted = batch[:, 1:].chunk(2, dim=1)
        lost = functional.cross_entropy(tokens.float().mT, wanted, reduction="none")
        hidden = shown == MASK
        return functional.cross_entropy(kinds.float(), batch[:, 0]) + (lost * hidden).sum() / hidden.sum()


def start(encoder: Encoder) -> None:
    """Matrices start at one over the root of their inputs, positions as sinusoids as large as the tokens.

    From BERT's 0.02, which suits its width, narrow models guess the commonest byte for thousands of steps.
    """
    length, width = encoder.places.weight.shape
    for part in encoder.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
    nn.init.normal_(encoder.tokens.weight, std=width**-0.5)
    with torch.no_grad():
        encoder.places.weight.copy_((2 / width) ** 0.5 * sinusoids(0, length, width, torch.device("cpu")))


def measure(context: Context) -> None:
    """Measures the ratio of both accuracies, each model at the best cell of the same grid."""
    corpus = corpora.code(CORPUS_BYTES if context.full else 400_000)
    context.data["corpus"] = corpus.record()
    texts = Texts.of(corpus.content, context.device)
    scores = {}
    for index, name in enumerate(KINDS):
        context.progress(0.72 + 0.13 * index, f"training small models: {name}")
        tried = {cell: _train(context, texts, name, cell, SEARCH_SEED) for cell in _grid(context)}
        best = max(tried, key=lambda cell: tried[cell]["class"])
        runs = [_train(context, texts, name, best, seed) for seed in range(context["seeds"])]
        scores[name] = {
            "rate": best[0],
            "norms_first": best[1],
            "tried": {
                f"{rate:g}, norms {'first' if before else 'last'}": tried[rate, before]
                for rate, before in tried
            },
            "runs": runs,
        }
        release(context.device)
    context.samples["accuracy"] = scores
    for measure_name, part in (("accuracy_kept", "class"), ("masked_accuracy_kept", "masked")):
        bert = statistics.fmean(run[part] for run in scores["bert"]["runs"])
        kept = [run[part] / bert for run in scores["fnet"]["runs"]]
        context.measure(
            measure_name,
            mean_of(kept),
            detail={
                name: {key: found[key] for key in ("rate", "norms_first", "tried")}
                | {"accuracy": [run[part] for run in found["runs"]]}
                for name, found in scores.items()
            },
        )
    guard_learnt(context, texts, scores)


def _grid(context: Context) -> tuple[Cell, ...]:
    return GRID if context.full else GRID[:1]


def guard_learnt(context: Context, texts: Texts, scores: Mapping[str, Any]) -> None:
    """Guards, where there is time to learn, that every run is far better than always naming the commonest."""
    commonest = torch.bincount(texts.held_out.flatten().int()).max().item() / texts.held_out.numel()
    guessing = {"class": 2 / CLASSES, "masked": 1.2 * commonest}
    for part, floor in guessing.items() if context.full else ():
        worst = min(run[part] for found in scores.values() for run in found["runs"])
        detail = f"Lowest accuracy of all runs {worst:.3f}; {floor:.3f} is needed."
        context.guard(f"learnt_{part}", floor - worst, 0, detail)


def _train(context: Context, texts: Texts, name: str, cell: Cell, seed: int) -> dict[str, float]:
    """Accuracies on held-out blocks after training: of classes, and of masked bytes."""
    length, batch = context["text_length"], 128 if context.full else 16
    layers, width = (4, 256) if context.full else (2, 32)
    rate, before = cell
    model = Learner(Shape(layers, width, 257, length, before), KINDS[name], seed).to(context.device)
    steps = max(1, context["steps"] // (SEARCH if seed == SEARCH_SEED else 1))
    plan = learning.Plan(steps, rate, seed, evaluations=1, weight_decay=0.01)
    learning.train(model, lambda step, generator: texts.draw(texts.train, batch, length, generator), plan)
    return _accuracies(model, texts, length)


def _accuracies(model: Learner, texts: Texts, length: int) -> dict[str, float]:
    generator, right = torch.Generator().manual_seed(7), {"class": [], "masked": []}
    with torch.no_grad():
        for _ in range(16 if texts.held_out.is_cuda else 2):
            batch = texts.draw(texts.held_out, 512, length, generator)
            with learning.autocast(batch.device):
                kinds, tokens = model(batch)
            shown, wanted = batch[:, 1:].chunk(2, dim=1)
            hits = (tokens.argmax(-1) == wanted)[shown == MASK]
            right["class"].append((kinds.argmax(-1) == batch[:, 0]).float().mean().item())
            right["masked"].append(hits.float().mean().item())
    return {part: statistics.fmean(found) for part, found in right.items()}
