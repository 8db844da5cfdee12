"""An H3 layer token by token: a ring of past keys for the shift, a complex state for each channel."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from reproduce.recipes.blocks.statespace import FREQUENCIES, TAPS, Diagonal, Shift


@dataclass
class State:
    """Ring (taps, batch, channels); complex state in two parts (frequencies, batch, channels); weights."""

    ring: torch.Tensor
    real: torch.Tensor
    imaginary: torch.Tensor
    taps: torch.Tensor  # (taps, channels)
    turn: tuple[torch.Tensor, torch.Tensor]  # exp(dt A), (frequencies, 1, channels)
    read: tuple[torch.Tensor, torch.Tensor]  # 2 dt C
    skips: tuple[torch.Tensor, torch.Tensor]
    fused: Callable[..., torch.Tensor] | None = None  # `advance`, compiled

    @classmethod
    def of(cls, shift: Shift, diagonal: Diagonal, batch: int, dtype: torch.dtype) -> "State":
        """An empty state with a layer's weights; keys are kept in `dtype`, the rest in fp32."""
        channels, device = shift.read.shape[0], shift.read.device
        step = diagonal.log_step.exp()
        size = torch.exp(-diagonal.log_decay.exp() * step[:, None])
        angle = diagonal.frequency * step[:, None]
        read = 2 * step[:, None] * diagonal.read_real, 2 * step[:, None] * diagonal.read_imaginary
        parts = (*(size * angle.cos(), size * angle.sin()), *read)
        turn_real, turn_imaginary, *read = (part.detach().T[:, None].contiguous() for part in parts)
        state = torch.zeros(2, FREQUENCIES, batch, channels, device=device)
        return cls(
            torch.zeros(TAPS, batch, channels, dtype=dtype, device=device),
            *state.unbind(0),
            shift.read.detach().T.contiguous(),
            (turn_real, turn_imaginary),
            (read[0], read[1]),
            (shift.skip.detach(), diagonal.skip.detach()),
        )

    def step(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, position: int) -> torch.Tensor:
        """One token, each (batch, channels): q * diagonal(shift(k) * v) in fp32; the state moves on."""
        slot = position % TAPS
        self.ring[slot] = k
        taps = self.taps.flip(0).roll(slot + 1, 0)  # the newest key is at `slot`, the one before it below
        move = self.fused or advance
        return move(q, k, v, self.ring, taps, self.real, self.imaginary, *self.turn, *self.read, *self.skips)


def advance(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    ring: torch.Tensor,
    taps: torch.Tensor,
    real: torch.Tensor,
    imaginary: torch.Tensor,
    turn_real: torch.Tensor,
    turn_imaginary: torch.Tensor,
    read_real: torch.Tensor,
    read_imaginary: torch.Tensor,
    skip_shift: torch.Tensor,
    skip_diagonal: torch.Tensor,
) -> torch.Tensor:
    """The arithmetic of a step, for a compiler to fuse; writes the new state over the old."""
    shifted = (ring.float() * taps[:, None]).sum(0) + skip_shift * k
    entered = shifted * v
    new_real = turn_real * real - turn_imaginary * imaginary + entered
    new_imaginary = turn_real * imaginary + turn_imaginary * real
    left = (read_real * new_real - read_imaginary * new_imaginary).sum(0)
    real.copy_(new_real)
    imaginary.copy_(new_imaginary)
    return q * (left + skip_diagonal * entered)
