"""A 2-bit cache of keys and values (batch, heads, tokens, D), and attention of one new token over it.

A word of 32 bits holds 16 channels of a token: channel WORDS j + w is in bits 2j and 2j + 1 of word w.
"""

import importlib
import math
from dataclasses import dataclass, fields

import torch

from reproduce.recipes.blocks.quantizing import Grid, asymmetric
from reproduce.recipes.memory import tensor_bytes

GROUP = 32  # tokens of a channel, or channels of a token, with one scale
CODES = 16  # in a word


@dataclass(frozen=True)
class Cache2:
    """Words (batch, heads, tokens, D / 16); scales of keys (.., groups, D), of values (.., tokens, D / 32).

    The newest tokens are kept as they are, in `recent_*` (batch, heads, recent, D).
    """

    key_words: torch.Tensor
    key_scale: torch.Tensor
    key_offset: torch.Tensor
    value_words: torch.Tensor
    value_scale: torch.Tensor
    value_offset: torch.Tensor
    recent_keys: torch.Tensor
    recent_values: torch.Tensor

    @classmethod
    def of(cls, keys: torch.Tensor, values: torch.Tensor, recent: int) -> "Cache2":
        """Rounds all but the newest `recent` tokens; those before fill whole groups."""
        old = keys.shape[2] - recent
        k_grid, k_codes = _fit(keys[:, :, :old].float().unflatten(2, (-1, GROUP)), 3)
        v_grid, v_codes = _fit(values[:, :, :old].float().unflatten(3, (-1, GROUP)), 4)
        scales = [part.flatten(3).half() for part in (v_grid.scale, v_grid.offset)]
        return cls(
            _words(k_codes.flatten(2, 3)),
            k_grid.scale.squeeze(3).half(),
            k_grid.offset.squeeze(3).half(),
            _words(v_codes.flatten(3)),
            *scales,
            keys[:, :, old:].clone(),
            values[:, :, old:].clone(),
        )

    def repeated(self, batch: int) -> "Cache2":
        """The same sequences again and again until there are `batch`, each with memory of its own."""
        copies = math.ceil(batch / len(self.key_words))
        parts = (getattr(self, field.name) for field in fields(self))
        return Cache2(*(part.repeat(copies, *[1] * (part.dim() - 1))[:batch].contiguous() for part in parts))

    def restored(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values in fp32, as the codes stand for them, the newest tokens last."""
        by_group = _codes(self.key_words).unflatten(2, (-1, GROUP))
        keys = by_group * self.key_scale.float()[:, :, :, None] + self.key_offset.float()[:, :, :, None]
        by_group = _codes(self.value_words).unflatten(3, (-1, GROUP))
        values = by_group * self.value_scale.float()[..., None] + self.value_offset.float()[..., None]
        old = keys.flatten(2, 3), values.flatten(3)
        recent = self.recent_keys, self.recent_values
        return tuple(torch.cat((a, b.float()), 2) for a, b in zip(old, recent, strict=True))

    @property
    def bytes(self) -> int:
        """Of everything kept."""
        return tensor_bytes([getattr(self, field.name) for field in fields(self)])

    @property
    def bits(self) -> float:
        """Bits of a rounded element, scales and offsets included."""
        recent = tensor_bytes([self.recent_keys, self.recent_values])
        return 8 * (self.bytes - recent) / (2 * CODES * self.key_words.numel())


def attention(query: torch.Tensor, cache: Cache2) -> torch.Tensor:
    """(batch, heads, D) from a query of the same shape, over all tokens of the cache."""
    if query.is_cuda:
        return importlib.import_module(f"{__package__}.kernel").launch(query, cache)
    keys, values = cache.restored()
    weights = torch.softmax(keys @ query.float()[..., None] / math.sqrt(query.shape[-1]), dim=2)
    return (weights.transpose(2, 3) @ values).squeeze(2).to(query.dtype)


def _fit(parts: torch.Tensor, along: int) -> tuple[Grid, torch.Tensor]:
    """A grid of four values for each group, its numbers as they are stored, and the codes (int32)."""
    fitted = asymmetric(parts, 2, (along,))
    grid = Grid(fitted.scale.half().float().clamp_min(2.0**-14), fitted.offset.half().float(), 0, 3)
    return grid, grid.codes(parts).int()


def _words(codes: torch.Tensor) -> torch.Tensor:
    """(..., D) codes -> (..., D / 16) words."""
    parts = codes.unflatten(-1, (CODES, -1))
    words = torch.zeros_like(parts[..., 0, :])
    for place in range(CODES):
        words |= parts[..., place, :] << (2 * place)
    return words


def _codes(words: torch.Tensor) -> torch.Tensor:
    """What `_words` packed, as floats."""
    return torch.stack([(words >> (2 * place)) & 3 for place in range(CODES)], -2).flatten(-2).float()
