"""A cache of a few first tokens (sinks) and the latest others, for all layers, in buffers that never move.

Positions count within the cache (arXiv:2309.17453, section 3.2): from a full cache's newest token the first
is as far as the cache is long. Other distances are true ones, so the sinks alone are turned again each step.
"""

from dataclasses import dataclass

import torch

RATE_BASE = 10_000.0


def turns(positions: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of rotary positions, (positions, width / 2); in 64 bits, so that any may come."""
    rates = RATE_BASE ** (-torch.arange(width // 2, device=positions.device, dtype=torch.float64) * 2 / width)
    angles = positions.double()[:, None] * rates
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotates the two halves of (..., positions, width) against each other."""
    cosine, sine = (part.to(x.dtype) for part in turn)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)


@dataclass
class Cache:
    """Keys and values (layers, heads, slots, width); the first slots are the sinks', the others roll.

    The number of tokens so far lives on the device, so that one CUDA graph serves every step.
    """

    keys: torch.Tensor
    values: torch.Tensor
    sinks: torch.Tensor  # their keys, not rotated: (layers, heads, sinks, width)
    position: torch.Tensor  # of the token that is being made: (1,)

    @classmethod
    def filled(cls, keys: torch.Tensor, values: torch.Tensor, sinks: int) -> "Cache":
        """From keys, not rotated, and values of as many tokens as there are slots."""
        slots = torch.arange(keys.shape[2], device=keys.device)
        rotated = rotate(keys, turns(slots, keys.shape[3]))
        position = slots.new_full((1,), keys.shape[2])
        return cls(rotated, values.clone(), keys[:, :, :sinks].clone(), position)

    def begin(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Makes room for a token and turns the sinks of all layers; the turn of its query and key."""
        sinks, slots = self.sinks.shape[2], self.keys.shape[2]
        self.slot = sinks + (self.position - sinks) % (slots - sinks)
        places = self.position - (slots - 1) + torch.arange(sinks, device=self.position.device)
        self.keys[:, :, :sinks] = rotate(self.sinks, turns(places, self.keys.shape[3]))
        return turns(self.position, self.keys.shape[3])

    def put(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Stores the token's rotated key and its value, (heads, 1, width), over the oldest but for sinks."""
        self.keys[layer].index_copy_(1, self.slot, key)
        self.values[layer].index_copy_(1, self.slot, value)

    def end(self) -> None:
        """The token is done."""
        self.position += 1
