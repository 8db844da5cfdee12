"""The Hyena operator of order two: projections, short convolutions, two gates, a long implicit convolution.

Signals are (batch, n, width) outside and (batch, width, n) around the FFT. Source: arXiv:2302.10866.
"""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from . import spectra
from .gates import enter, leave

BANDS = 16  # sines and cosines of the positions that the filter is made from
HIDDEN = 64  # width of the filter's network
SINE_RATE = 14.0
DECAYS = (0.3, 1.5)  # powers of e^-1 that slowest and fastest channels fall by over a fifth of the length


class LongConvolution(torch.autograd.Function):
    """Causal convolution of (batch, width, 2 n), zero beyond n, with a kernel (width, n), in fp32.

    PyTorch's own derivative of a real FFT takes complex ones; here forward takes two, backward three. The
    kernel's spectrum, small beside the signal's, takes the factor 1 / 2 n of the inverse FFT.
    """

    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        size = padded.shape[-1]
        spectrum, answer = torch.fft.rfft(padded), torch.fft.rfft(kernel, n=size).div_(size)
        ctx.save_for_backward(spectrum, answer)
        return torch.fft.irfft(spectrum * answer, n=size, norm="forward")[..., : kernel.shape[-1]]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spectrum, answer = ctx.saved_tensors
        length = gradient.shape[-1]
        arriving = torch.fft.rfft(gradient, n=2 * length)
        of_spectrum, of_answer = spectra.back(arriving, spectrum, answer)
        of_padded = torch.fft.irfft(of_spectrum, n=2 * length, norm="forward")
        return of_padded, torch.fft.irfft(of_answer, n=2 * length)[..., :length]


def convolve(padded: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """(batch, width, 2 n), zero beyond n, and (width, n) to (batch, width, n)."""
    return LongConvolution.apply(padded, kernel)


def window(plain: torch.Tensor, place: torch.Tensor, decay: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """The filter in its decaying window, (n, width) to (width, n), and the skip as its first tap."""
    kernel = (plain * torch.exp(-place * decay.abs())).T.contiguous()
    return kernel + functional.pad(skip[:, None], (0, len(plain) - 1))


class Filter(nn.Module):
    """The implicit kernel: a network with sine activations over positions, times a decaying window; fp32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = [1 + 2 * BANDS, HIDDEN, HIDDEN, HIDDEN]
        self.inner = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(HIDDEN, width, bias=False)
        self.rate = nn.Parameter(torch.full((HIDDEN,), SINE_RATE))
        self.decay = nn.Parameter(torch.linspace(*DECAYS, width) * 5)

    def forward(self, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(length, width) without its window, and the places (length, 1)."""
        place = torch.linspace(0, 1, length, device=self.rate.device)[:, None]
        angle = 2 * math.pi * place * torch.linspace(1e-4, BANDS - 1, BANDS, device=place.device)
        x = torch.cat((place, angle.cos(), angle.sin()), dim=1)
        for linear in self.inner:
            x = torch.sin(self.rate * linear(x))
        return self.out(x), place


class Hyena(nn.Module):
    """(batch, n, width) to the same. `enter`, `leave` and `window` may be replaced."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.project = nn.Linear(width, 3 * width, bias=False, dtype=dtype)
        self.out = nn.Linear(width, width, bias=False, dtype=dtype)
        self.short = nn.Parameter(torch.randn(3, 3 * width, dtype=dtype) * 3**-0.5)
        self.skip = nn.Parameter(torch.randn(width))
        self.filter = Filter(width)
        self.enter, self.leave, self.window = enter, leave, window

    def kernel(self, length: int) -> torch.Tensor:
        """(width, length): the filter, and the skip around the convolution as its first tap."""
        return self.window(*self.filter(length), self.filter.decay, self.skip)

    def mix(self, x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        """The operator with a given kernel (width, n)."""
        gate, padded = self.enter(self.project(x), self.short)
        return self.out(self.leave(convolve(padded, kernel), gate))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x, self.kernel(x.shape[1]))
