"""A 2-bit cache of keys and values (batch, heads, tokens, D), and attention of one new token over it.

A word holds 16 channels of a token, code j in bits 2j and 2j + 1: of keys, channel j D / 16 + w is in word w,
of values 16 w + j. A word of a grid holds scale (low half) and offset of a group.
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
    """Words (batch, heads, tokens, D / 16); grids of keys (.., groups, D), of values (.., tokens, D / 32).

    The newest tokens are kept as they are, in `recent_*` (batch, heads, recent, D).
    """

    key_words: torch.Tensor
    key_grid: torch.Tensor
    value_words: torch.Tensor
    value_grid: torch.Tensor
    recent_keys: torch.Tensor
    recent_values: torch.Tensor

    @classmethod
    def of(cls, keys: torch.Tensor, values: torch.Tensor, recent: int) -> "Cache2":
        """Rounds all but the newest `recent` tokens; those before fill whole groups."""
        old = keys.shape[2] - recent
        packed = rounded(keys[:, :, :old], values[:, :, :old])
        return cls(*packed, keys[:, :, old:].clone(), values[:, :, old:].clone())

    def repeated(self, batch: int) -> "Cache2":
        """The same sequences again and again until there are `batch`, each with memory of its own."""
        copies = math.ceil(batch / len(self.key_words))
        parts = (getattr(self, field.name) for field in fields(self))
        return Cache2(*(part.repeat(copies, *[1] * (part.dim() - 1))[:batch].contiguous() for part in parts))

    def restored(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values in fp32, as the codes stand for them, the newest tokens last."""
        scale, offset = (part[:, :, :, None] for part in _halves(self.key_grid))
        keys = _codes(self.key_words).transpose(-1, -2).flatten(-2).unflatten(2, (-1, GROUP)) * scale + offset
        scale, offset = (part[..., None] for part in _halves(self.value_grid))
        values = _codes(self.value_words).flatten(-2).unflatten(3, (-1, GROUP)) * scale + offset
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


def rounded(keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Words and grid of keys, words and grid of values (int32), for tokens that fill whole groups."""
    if keys.is_cuda:
        return importlib.import_module(f"{__package__}.rounding_kernel").launch(keys, values)
    key_codes, key_grid = _fit(keys.float().unflatten(2, (-1, GROUP)), 3)
    value_codes, value_grid = _fit(values.float().unflatten(3, (-1, GROUP)), 4)
    by_place = key_codes.flatten(2, 3).unflatten(-1, (CODES, -1)).transpose(-1, -2)
    in_order = value_codes.flatten(3).unflatten(-1, (-1, CODES))
    return _words(by_place), key_grid.squeeze(3), _words(in_order), value_grid.squeeze(4)


def _fit(parts: torch.Tensor, along: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (int32) of groups, and the words that hold scale and offset of each as they are stored."""
    fitted = asymmetric(parts, 2, (along,))
    grid = Grid(fitted.scale.half().float().clamp_min(2.0**-14), fitted.offset.half().float(), 0, 3)
    low, high = (part.half().view(torch.int16).int() for part in (grid.scale, grid.offset))
    return grid.codes(parts).int(), (high << 16) | (low & 0xFFFF)


def _halves(grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset in fp32 that such words hold."""
    low, high = (part.to(torch.int16).view(torch.float16).float() for part in (grid << 16 >> 16, grid >> 16))
    return low, high


def _words(codes: torch.Tensor) -> torch.Tensor:
    """(..., words, 16) codes -> (..., words)."""
    words = torch.zeros_like(codes[..., 0])
    for place in range(CODES):
        words |= codes[..., place] << (2 * place)
    return words


def _codes(words: torch.Tensor) -> torch.Tensor:
    """What `_words` packed, as floats."""
    return torch.stack([(words >> (2 * place)) & 3 for place in range(CODES)], -1).float()
