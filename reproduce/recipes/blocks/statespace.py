"""State-space layers as long convolutions by FFT: S4D, H3 and GSS, as mixers of a TinyGPT; all in fp32.

Signals are (batch, length, channels); a kernel is (channels, length): its answer to a one at the first place.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks.tinygpt import Cache, Shape

VERSION = 1
FREQUENCIES = 32  # conjugate pairs of a diagonal state: 64 real numbers
TAPS = 64  # of a shift state
STEPS = (1e-3, 1e-1)  # range of the learned step sizes at the start


def convolve(signal: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Causal: out[t] = sum over s <= t of kernel[s] signal[t - s]; padded so that nothing wraps around."""
    length = signal.shape[-2]
    size = 2 * length
    spectrum = torch.fft.rfft(signal.float(), n=size, dim=-2)
    answer = torch.fft.rfft(kernel.float(), n=size, dim=-1).transpose(-2, -1)
    return torch.fft.irfft(spectrum * answer, n=size, dim=-2)[..., :length, :]


class Diagonal(nn.Module):
    """A diagonal complex state for each channel, and a skip. Source: S4D-Lin, arXiv:2206.11893, section 4.

    Its kernel is dt 2 Re(sum over n of C_n exp(dt A_n t)), with A_n = -1/2 + i pi n at the start.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        low, high = (math.log(step) for step in STEPS)
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(channels))
        self.log_decay = nn.Parameter(torch.full((channels, FREQUENCIES), math.log(0.5)))
        self.frequency = nn.Parameter(math.pi * torch.arange(FREQUENCIES).repeat(channels, 1).float())
        self.read_real, self.read_imaginary = (
            nn.Parameter(torch.randn(channels, FREQUENCIES) * 0.5**0.5) for _ in range(2)
        )
        self.skip = nn.Parameter(torch.randn(channels))

    def kernel(self, length: int) -> torch.Tensor:
        """(channels, length), without the skip; exp(dt A t) is a product, for whole blocks and the rest of t.

        So for each frequency there are about two roots of `length` numbers to find instead of `length`.
        """
        block = 2 ** ((length - 1).bit_length() // 2)
        step = self.log_step.exp()[:, None, None]
        places = torch.arange(max(block, -(-length // block)), device=step.device)
        near, near_turned = self._wave(step * places[:block])
        far, far_turned = self._wave(step * block * places[: -(-length // block)])
        real, imaginary = self.read_real[..., None], self.read_imaginary[..., None]
        starts, turned = real * far - imaginary * far_turned, real * far_turned + imaginary * far
        sums = starts.transpose(-2, -1) @ near - turned.transpose(-2, -1) @ near_turned
        return 2 * step[..., 0] * sums.flatten(-2)[..., :length]

    def _wave(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Real and imaginary part of exp(A time), (channels, frequencies, places)."""
        size = torch.exp(-self.log_decay.exp()[..., None] * time)
        angle = self.frequency[..., None] * time
        return size * angle.cos(), size * angle.sin()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return convolve(x, self.kernel(x.shape[-2])) + self.skip * x


class Shift(nn.Module):
    """A state that holds the last TAPS inputs, read by learned weights: a short convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.read = nn.Parameter(torch.randn(channels, TAPS) / TAPS**0.5)
        self.skip = nn.Parameter(torch.randn(channels))

    def kernel(self, length: int) -> torch.Tensor:
        """(channels, length), zero beyond the taps."""
        return functional.pad(self.read[:, :length], (0, max(0, length - TAPS)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return convolve(x, self.kernel(x.shape[-2])) + self.skip * x


class H3(nn.Module):
    """out(q * diagonal(shift(k) * v)), heads of width one. Source: arXiv:2212.14052, section 3.2."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (
            nn.Linear(shape.width, shape.width, bias=False) for _ in range(4)
        )
        self.shift, self.diagonal = Shift(shape.width), Diagonal(shape.width)

    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        q, k, v = self.query(x), self.key(x), self.value(x)
        return self.out(q * self.diagonal(self.shift(k) * v))


class S4D(nn.Module):
    """A diagonal state-space layer, GELU, and a gated output. Source: arXiv:2206.11893."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.diagonal = Diagonal(shape.width)
        self.mix = nn.Linear(shape.width, 2 * shape.width, bias=False)

    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        return functional.glu(self.mix(functional.gelu(self.diagonal(x))))


class GSS(nn.Module):
    """A gated state space: the state-space part is four times narrower. Source: arXiv:2206.13947, Fig. 1."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        width, narrow = shape.width, max(1, shape.width // 4)
        self.gate, self.narrow = nn.Linear(width, 4 * width, bias=False), nn.Linear(width, narrow, bias=False)
        self.diagonal = Diagonal(narrow)
        self.widen, self.out = (
            nn.Linear(narrow, 4 * width, bias=False),
            nn.Linear(4 * width, width, bias=False),
        )

    def forward(self, x: torch.Tensor, cache: Cache | None = None) -> torch.Tensor:
        states = self.diagonal(functional.gelu(self.narrow(x)))
        return self.out(self.widen(states) * functional.gelu(self.gate(x)))
