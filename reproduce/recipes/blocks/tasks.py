"""Algorithmic tasks: induction heads, associative recall, selective copy; endless, seeded, on the device.

A batch is one int64 tensor (2, count, length): token ids, and the token asked for at each place or ASKED_NOT.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

VERSION = 1
ASKED_NOT = -100  # what cross_entropy ignores
AHEAD = 64  # steps made at once: a batch is a few launches, and so are sixty-four


class Task(Protocol):
    """Something to learn; `vocabulary` counts all ids, special ones too."""

    vocabulary: int

    def batch(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(2, count, length) on the generator's device."""


@dataclass(frozen=True)
class InductionHeads:
    """The last token is a mark that stood once before: what followed it then?

    The mark is the highest id; all else is uniform. Source: arXiv:2212.14052, section 3.1.
    """

    length: int
    vocabulary: int

    def batch(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(2, count, length); asks at the last place only."""
        mark, device = self.vocabulary - 1, generator.device
        ids = torch.randint(mark, (count, self.length), generator=generator, device=device)
        place = torch.randint(self.length - 2, (count, 1), generator=generator, device=device)
        ids.scatter_(1, place, mark)
        ids[:, -1] = mark
        return _asked_last(ids, ids.gather(1, place + 1))


@dataclass(frozen=True)
class AssociativeRecall:
    """Pairs of a key and its value, then a key seen before: its value? Each example has its own dictionary.

    Keys are the lower half of the ids, values the upper. `pairs` counts the last one, whose value is the
    answer. Source: arXiv:2212.14052, section 3.1.
    """

    pairs: int
    vocabulary: int

    def batch(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(2, count, 2 pairs - 1); asks at the last place only."""
        half, device = self.vocabulary // 2, generator.device
        book = half + torch.randint(half, (count, half), generator=generator, device=device)
        keys = torch.randint(half, (count, self.pairs - 1), generator=generator, device=device)
        which = torch.randint(self.pairs - 1, (count, 1), generator=generator, device=device)
        asked = keys.gather(1, which)
        shown = torch.stack((keys, book.gather(1, keys)), dim=2).flatten(1)
        return _asked_last(torch.cat((shown, asked), dim=1), book.gather(1, asked))


@dataclass(frozen=True)
class SelectiveCopy:
    """`items` tokens at random places among noise, then as many prompts: the tokens again, in order.

    The highest id is the prompt, the one below it noise. Source: arXiv:2312.00752, section 3.1.
    """

    length: int  # of the part to read, without the prompts
    items: int
    vocabulary: int

    def batch(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(2, count, length + items); asks at the prompts."""
        prompt, noise, device = self.vocabulary - 1, self.vocabulary - 2, generator.device
        data = torch.randint(noise, (count, self.items), generator=generator, device=device)
        order = torch.rand(count, self.length, generator=generator, device=device)
        places = order.topk(self.items, dim=1).indices.sort(dim=1).values
        ids = torch.full((count, self.length + self.items), prompt, device=device)
        ids[:, : self.length] = noise
        ids.scatter_(1, places, data)
        targets = torch.full_like(ids, ASKED_NOT)
        targets[:, self.length :] = data
        return torch.stack((ids, targets))


def drawing(task: Task, count: int, device: torch.device) -> Callable[[int, torch.Generator], torch.Tensor]:
    """Training batches for `learning.train`: those of AHEAD steps are made at once.

    The generator of training, on the CPU, seeds one on the device; another device makes other examples.
    """
    source, waiting = torch.Generator(device), []

    def draw(step: int, generator: torch.Generator) -> torch.Tensor:
        if step % AHEAD == 0:
            source.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            waiting[:] = task.batch(AHEAD * count, source).split(count, dim=1)
        return waiting[step % AHEAD]

    return draw


def held_out(task: Task, count: int, device: torch.device, seed: int) -> torch.Tensor:
    """(2, count, length): the same examples each time; from a seed that training does not use."""
    return task.batch(count, torch.Generator(device).manual_seed(2**62 + seed))


def loss(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the answers, in nats; the model maps ids (..., length) to logits (..., v)."""
    logits = model(batch[0])
    return functional.cross_entropy(logits.flatten(0, -2).float(), batch[1].flatten(), ignore_index=ASKED_NOT)


def accuracy(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Share of right answers, for each leading index of ids (..., count, length): a scalar, or one a seed."""
    with torch.no_grad():
        right = model(batch[0]).argmax(-1) == batch[1]
    return right.sum((-2, -1)) / (batch[1] != ASKED_NOT).sum((-2, -1))


def _asked_last(ids: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    targets = torch.full_like(ids, ASKED_NOT)
    targets[:, -1:] = answers
    return torch.stack((ids, targets))
