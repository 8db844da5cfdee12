"""Bytes to learn from, on the device: random training windows, and the same held-out windows each time."""

from dataclasses import dataclass

import torch

from reproduce.recipes.corpora import Corpus

VERSION = 1


@dataclass
class Text:
    """Byte ids (uint8) of both halves of a corpus."""

    train: torch.Tensor
    validation: torch.Tensor

    @classmethod
    def of(cls, corpus: Corpus, device: torch.device) -> "Text":
        """Copies a corpus to the device."""
        return cls.from_bytes(corpus.train, corpus.validation, device)

    @classmethod
    def from_bytes(cls, train: bytes, validation: bytes, device: torch.device) -> "Text":
        """Copies two byte strings to the device."""
        halves = (torch.frombuffer(bytearray(part), dtype=torch.uint8) for part in (train, validation))
        return cls(*(half.to(device) for half in halves))

    def draw(self, count: int, length: int, generator: torch.Generator) -> torch.Tensor:
        """(count, length + 1) ids from random places of the training half; `generator` lives on the CPU."""
        starts = torch.randint(len(self.train) - length, (count, 1), generator=generator)
        places = (starts + torch.arange(length + 1)).to(self.train.device, non_blocking=True)
        return self.train[places].long()

    def held_out(self, count: int, length: int) -> torch.Tensor:
        """(count, length + 1) ids, evenly spread over the validation half."""
        starts = torch.linspace(0, len(self.validation) - length - 1, count).long()[:, None]
        return self.validation[(starts + torch.arange(length + 1)).to(self.validation.device)].long()
