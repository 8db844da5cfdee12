"""Numbers in eight bits with a scale for each block, and Adam whose moments are kept so.

Source: arXiv:2110.02861, sections 2 and 3. Dynamic codes spend more of their bits where values are small.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

VERSION = 1
BLOCK = 2048
SMALLEST = 4096  # tensors with fewer elements keep 32-bit moments
DECADES = 7  # (1e-7, 1e-6] to (0.1, 1] of a block's largest magnitude
KINDS = ("dynamic", "linear")


@lru_cache
def table(kind: str, signed: bool, device: torch.device) -> torch.Tensor:
    """(256,) fp32, rising from -1 (0 if unsigned) to 1: what each code stands for."""
    if kind == "linear":
        steps = 127 if signed else 255
        values = torch.arange(-steps if signed else 0, steps + 1) / steps
    else:
        values = _dynamic(signed)
    last = torch.ones(256 - len(values), dtype=values.dtype)
    return torch.cat([values, last]).float().to(device)


def _dynamic(signed: bool) -> torch.Tensor:
    """Zero and, in decade i, the middles of 2^i (unsigned 2^(i + 1)) equal parts of it; 1 comes last."""
    middles = []
    for decade in range(DECADES):
        parts = 2 ** (decade if signed else decade + 1)
        within = 0.1 + 0.9 * (torch.arange(parts, dtype=torch.float64) + 0.5) / parts
        middles.append(within * 10.0 ** (decade + 1 - DECADES))
    above = torch.cat(middles)
    zero = torch.zeros(1, dtype=torch.float64)
    return torch.cat([-above.flip(0), zero, above]) if signed else torch.cat([zero, above])


def encode(x: torch.Tensor, kind: str, signed: bool) -> torch.Tensor:
    """Codes (uint8) of values within -1 and 1 (0 and 1 if unsigned); to the nearest within a decade."""
    if kind == "linear":
        steps = 127 if signed else 255
        return (x * steps).round().add(steps if signed else 0).to(torch.uint8)
    values = table(kind, signed, x.device)
    middle, size = (127 if signed else 0), x.abs()
    limits = 10.0 ** torch.arange(1 - DECADES, 0, device=x.device, dtype=torch.float32)
    decade = torch.bucketize(size, limits)
    parts = torch.exp2(decade + (0 if signed else 1))
    within = (size * 10.0 ** (DECADES - 1 - decade).float() - 0.1) / 0.9 * parts
    index = parts - (0 if signed else 1) + within.floor().clamp(min=0).minimum(parts - 1)
    index = torch.where(size < values[middle + 1] / 2, 0, index)
    index = torch.where(x < 0, middle - index, middle + index)
    return torch.where(x > (1 + values[254]) / 2, 255, index).to(torch.uint8)


@dataclass
class Quantised:
    """A flat fp32 tensor in eight bits: codes (blocks, block) and the largest magnitude of each block."""

    codes: torch.Tensor
    largest: torch.Tensor
    count: int
    kind: str = "dynamic"
    signed: bool = True

    @classmethod
    def zeros(
        cls, count: int, device: torch.device, signed: bool, kind: str = "dynamic", block: int | None = BLOCK
    ) -> "Quantised":
        """Zeros; `block` None means one scale for all."""
        width = block or count
        codes = torch.zeros(-(-count // width), width, dtype=torch.uint8, device=device)
        return cls(codes, torch.zeros(len(codes), device=device), count, kind, signed)

    def read(self) -> torch.Tensor:
        """(count,) fp32."""
        values = table(self.kind, self.signed, self.codes.device)[self.codes.int()]
        return (values * self.largest[:, None]).flatten()[: self.count]

    def write(self, x: torch.Tensor) -> None:
        """Takes the values of `x`, which has `count` elements."""
        padding = self.codes.numel() - self.count
        blocks = nn.functional.pad(x.flatten().float(), (0, padding)).view_as(self.codes)
        torch.amax(blocks.abs(), dim=1, out=self.largest)
        scaled = blocks / self.largest.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
        self.codes.copy_(encode(scaled, self.kind, self.signed))

    def tensors(self) -> list[torch.Tensor]:
        """What it keeps."""
        return [self.codes, self.largest]


class Adam8bit(torch.optim.Optimizer):
    """AdamW with eight-bit moments; a CUDA graph may capture it if its rate is a tensor."""

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float | torch.Tensor,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        kind: str = "dynamic",
        block: int | None = BLOCK,
    ) -> None:
        """Parameter groups may have a `weight_decay`. `block` None means one scale for each tensor."""
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self.kind, self.block = kind, block

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of every parameter that has a gradient; a closure is not called."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def tensors(self) -> list[torch.Tensor]:
        """What is kept between steps besides the step counts."""
        return [tensor for state in self.state.values() for name, tensor in state.items() if name != "step"]

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        state, (first, second) = self._state(parameter), group["betas"]
        state["step"] += 1
        moments = [self._read(state, name, parameter) for name in ("first", "second")]
        moments[0].mul_(first).add_(parameter.grad, alpha=1 - first)
        moments[1].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
        size = (moments[1] / (1 - second ** state["step"])).sqrt_().add_(group["eps"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(group["lr"] / (1 - first ** state["step"]) * moments[0] / size)
        if parameter.numel() >= SMALLEST:
            for name, moment in zip(("first", "second"), moments, strict=True):
                self._quantised(state, name, parameter).write(moment)

    def _state(self, parameter: nn.Parameter) -> dict[str, torch.Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            for name in ("first", "second"):
                if parameter.numel() < SMALLEST:
                    state[name] = torch.zeros_like(parameter, dtype=torch.float32)
                    continue
                made = Quantised.zeros(parameter.numel(), parameter.device, True, self.kind, self.block)
                state[f"{name}_codes"], state[f"{name}_largest"] = made.tensors()
        return state

    def _quantised(self, state: dict[str, torch.Tensor], name: str, parameter: nn.Parameter) -> Quantised:
        kept = (state[f"{name}_codes"], state[f"{name}_largest"])
        return Quantised(*kept, parameter.numel(), self.kind, signed=name == "first")

    def _read(self, state: dict[str, torch.Tensor], name: str, parameter: nn.Parameter) -> torch.Tensor:
        """A moment in fp32, shaped like the parameter; a small tensor's own, to be updated in place."""
        if parameter.numel() < SMALLEST:
            return state[name]
        return self._quantised(state, name, parameter).read().view(parameter.shape)
