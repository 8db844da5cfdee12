"""Text of many kinds: dialects, each with its own letters and table of which follows which, and code."""

import torch

from reproduce.recipes import corpora
from reproduce.recipes.blocks.text import Text

LETTERS = 64  # bytes that a dialect uses
SHARPNESS = 2.0  # standard deviation of the tables' log-weights
OWN = 1.5  # the same of a dialect's letters, whatever comes before: by them a few bytes tell the dialect
CODE_BYTES = 8_000_000
SEED = 7


class Mixture:
    """Windows of (length + 1) bytes: half from the dialects, each window one dialect, half from code."""

    def __init__(self, dialects: int, windows: int, length: int, device: torch.device) -> None:
        self.corpus = corpora.code(CODE_BYTES)
        self.code, self.length = Text.of(self.corpus, device), length
        tables = _tables(dialects, device)
        drawn = _chains(tables, windows, length + 1)
        held = max(1, windows // 10)
        self._held, self._train = drawn[:, :held].flatten(0, 1), drawn[:, held:].flatten(0, 1)
        self.entropy = _surprise(tables, drawn[:, :held])

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


def _tables(dialects: int, device: torch.device) -> torch.Tensor:
    """(dialects, letters, letters): chances of the next letter by dialect and letter, always the same."""
    generator = torch.Generator(device).manual_seed(SEED)
    follows = torch.randn(dialects, LETTERS, LETTERS, device=device, generator=generator)
    letters = torch.randn(dialects, 1, LETTERS, device=device, generator=generator)
    return (follows * SHARPNESS + letters * OWN).softmax(-1)


def _chains(tables: torch.Tensor, windows: int, length: int) -> torch.Tensor:
    """(dialects, windows, length) uint8: Markov chains of each table, always the same."""
    dialects, device = len(tables), tables.device
    generator = torch.Generator(device).manual_seed(SEED + 1)
    upto = tables.cumsum(-1)
    state = torch.randint(LETTERS, (dialects, windows), device=device, generator=generator)
    found = torch.empty(dialects, windows, length, dtype=torch.uint8, device=device)
    for place in range(length):
        found[:, :, place] = state
        rows = upto.gather(1, state[:, :, None].expand(-1, -1, LETTERS))
        drawn = torch.rand(dialects, windows, 1, device=device, generator=generator)
        state = torch.searchsorted(rows, drawn).squeeze(-1).clamp(max=LETTERS - 1)
    return found


def _surprise(tables: torch.Tensor, chains: torch.Tensor) -> float:
    """Nats a byte that chains cost who knows every dialect's table and which dialect is spoken."""
    before, after = chains[..., :-1].long(), chains[..., 1:].long()
    dialect = torch.arange(len(tables), device=tables.device)[:, None, None]
    return -tables[dialect, before, after].log().mean().item()
