# ruff: noqa: ANN001, ANN202 - Triton's arguments are pointers and constants
"""The Triton kernel of spectra.py: a program for a block of frequencies of a channel, all of the batch."""

import torch
import triton
import triton.language as tl

BLOCK = 512


def back(arriving: torch.Tensor, spectrum: torch.Tensor, answer: torch.Tensor) -> torch.Tensor:
    """See spectra.back; what it writes in the place of `arriving` is not returned."""
    batch, width, count = arriving.shape
    of_answer = torch.empty_like(answer)
    parts = (torch.view_as_real(tensor) for tensor in (arriving, spectrum, answer, of_answer))
    _back[(triton.cdiv(count, BLOCK), width)](*parts, batch, count, BLOCK=BLOCK, num_warps=4)
    return of_answer


@triton.jit(do_not_specialize=["batch", "count"])
def _back(arriving, spectrum, answer, of_answer, batch, count, BLOCK: tl.constexpr):
    channel, width = tl.program_id(1), tl.num_programs(1)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = (place < count)[:, None]
    at = place[:, None] * 2 + tl.arange(0, 2)[None, :]
    own = channel.to(tl.int64) * count * 2
    real, imaginary = tl.split(tl.load(answer + own + at, mask=inside, other=0.0))
    total_real, total_imaginary = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for row in range(0, batch):
        start = (row * width + channel).to(tl.int64) * count * 2
        a, b = tl.split(tl.load(arriving + start + at, mask=inside, other=0.0))
        c, d = tl.split(tl.load(spectrum + start + at, mask=inside, other=0.0))
        total_real += a * c + b * d
        total_imaginary += b * c - a * d
        moved = tl.join(a * real + b * imaginary, b * real - a * imaginary)
        tl.store(arriving + start + at, moved, mask=inside)
    tl.store(of_answer + own + at, tl.join(total_real, total_imaginary), mask=inside)
