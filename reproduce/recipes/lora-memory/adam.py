"""Adam in mixed precision, 16 bytes a parameter: bf16 weight and gradient, fp32 master and two moments."""

from collections.abc import Iterator

import torch
from torch import nn

CHUNK = 256 * 2**20  # elements whose gradients are widened to fp32 at once: at most 1 GiB


class MixedAdam:
    """Steps a chunk of tensors at a time: few kernels, and never all gradients in fp32."""

    def __init__(self, parameters: list[nn.Parameter], learning_rate: float = 1e-5) -> None:
        self._chunks = []
        for chunk in _chunks(parameters):
            masters = [parameter.detach().float() for parameter in chunk]
            self._chunks.append((chunk, masters, torch.optim.AdamW(masters, lr=learning_rate, fused=True)))

    def step(self) -> None:
        """Applies the gradients and drops them."""
        for parameters, masters, adam in self._chunks:
            for parameter, master in zip(parameters, masters, strict=True):
                master.grad, parameter.grad = parameter.grad.float(), None
            adam.step()
            adam.zero_grad(set_to_none=True)
            with torch.no_grad():
                torch._foreach_copy_(parameters, masters)

    def tensors(self) -> list[torch.Tensor]:
        """Master weights and moments, once a step has been taken."""
        held = []
        for _, masters, adam in self._chunks:
            held += masters + [adam.state[m][name] for m in masters for name in ("exp_avg", "exp_avg_sq")]
        return held


def _chunks(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Runs of tensors of at most CHUNK elements together; a larger tensor stands alone."""
    chunk, size = [], 0
    for parameter in parameters:
        if chunk and size + parameter.numel() > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(parameter)
        size += parameter.numel()
    if chunk:
        yield chunk
