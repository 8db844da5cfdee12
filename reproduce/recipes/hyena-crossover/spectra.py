"""What the way back multiplies in the frequencies: one pass over both spectra, as a Triton kernel on a GPU.

Spectra are (batch, width, frequencies), complex; those of kernels (width, frequencies).
"""

import importlib
from typing import Any

import torch

try:
    kernels: Any = importlib.import_module(f"{__package__}.spectra_kernel")
except ImportError:  # no Triton: operations of PyTorch
    kernels = None


def back(
    arriving: torch.Tensor, spectrum: torch.Tensor, answer: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """arriving answer*, in the place of `arriving`, and the sum over the batch of arriving spectrum*."""
    packed = all(part.is_contiguous() for part in (arriving, spectrum, answer))
    if kernels is not None and arriving.is_cuda and arriving.dtype == torch.complex64 and packed:
        return arriving, kernels.back(arriving, spectrum, answer)
    of_answer = (arriving * spectrum.conj()).sum(0)
    return arriving.mul_(answer.conj()), of_answer
