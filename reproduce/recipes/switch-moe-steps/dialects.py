"""Text of many kinds: dialects, each with its own table of which byte follows which, and Python code."""

import torch

from reproduce.recipes import corpora
from reproduce.recipes.blocks.text import Text

LETTERS = 64  # bytes that a dialect uses
SHARPNESS = 2.0  # standard deviation of the tables' log-weights: about 2.5 nats a byte remain
CODE_BYTES = 4_000_000
SEED = 7


class Mixture:
    """Windows of (length + 1) bytes: half from the dialects, each window one dialect, half from code."""

    def __init__(self, dialects: int, windows: int, length: int, device: torch.device) -> None:
        self.corpus = corpora.code(CODE_BYTES)
        self.code, self.length = Text.of(self.corpus, device), length
        drawn = _chains(dialects, windows, length + 1, device)
        held = max(1, windows // 10)
        self._held, self._train = drawn[:, :held].flatten(0, 1), drawn[:, held:].flatten(0, 1)

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(count, length + 1) ids of both kinds; `generator` lives on the CPU."""
        half = count // 2
        rows = torch.randint(len(self._train), (half,), generator=generator).to(self._train.device)
        code = self.code.draw(count - half, self.length, generator)
        return torch.cat((self._train[rows].long(), code))

    def held_out(self, count: int) -> torch.Tensor:
        """(count, length + 1) ids that no model learns from, half of each kind in turn."""
        half = count // 2
        rows = torch.linspace(0, len(self._held) - 1, half).long().to(self._held.device)
        pair = (self._held[rows].long(), self.code.held_out(half, self.length))
        return torch.stack(pair, dim=1).flatten(0, 1)


def _chains(dialects: int, windows: int, length: int, device: torch.device) -> torch.Tensor:
    """(dialects, windows, length) uint8: Markov chains, one table for each dialect, always the same."""
    generator = torch.Generator(device).manual_seed(SEED)
    weights = torch.randn(dialects, LETTERS, LETTERS, device=device, generator=generator) * SHARPNESS
    tables = weights.softmax(-1).cumsum(-1)
    state = torch.randint(LETTERS, (dialects, windows), device=device, generator=generator)
    found = torch.empty(dialects, windows, length, dtype=torch.uint8, device=device)
    for place in range(length):
        found[:, :, place] = state
        rows = tables.gather(1, state[:, :, None].expand(-1, -1, LETTERS))
        drawn = torch.rand(dialects, windows, 1, device=device, generator=generator)
        state = torch.searchsorted(rows, drawn).squeeze(-1).clamp(max=LETTERS - 1)
    return found
