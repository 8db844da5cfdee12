"""Products of int8 matrices on tensor cores, with the rounding before them and the scaling after them fused.

Rows are tokens (tokens, inputs), weights (outputs, inputs). On a GPU the edges are Triton kernels, and whole
products too where these are faster than cuBLAS.
"""

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from reproduce.recipes.blocks import quantizing
from reproduce.recipes.toolbox import synchronise

VERSION = 2  # 1 wrote every product's int32 sums to memory
TOP = 127
FEWEST_ROWS = 32  # of torch._int_mm on a GPU
APART = "cuBLAS, then a pass over its sums"
SAME = 0.01  # relative difference of two ways to multiply: codes may tip to their neighbours
TRIES, CALLS = 3, 5
_refused: dict[str, str] = {}  # ways that failed or were wrong, and how
_chosen: dict[tuple[int, int, int, bool, bool], str] = {}  # (tokens, outputs, inputs, apart?, codes?)


@dataclass(frozen=True)
class Int8Weight:
    """A weight in int8 (outputs, inputs), and the fp32 scale of each output (all alike if per tensor)."""

    codes: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, weight: torch.Tensor, per_tensor: bool = False) -> "Int8Weight":
        """Round to nearest, symmetric, for each output or for all together."""
        grid = quantizing.symmetric(weight.float(), 8, (0, 1) if per_tensor else (1,))
        scale = grid.scale.flatten().expand(len(weight)).contiguous()
        return cls(grid.codes(weight.float()).to(torch.int8), scale)

    def columns(self, which: torch.Tensor) -> torch.Tensor:
        """(len(which), outputs) in fp32: the weights of some inputs."""
        return (self.codes[:, which].float() * self.scale[:, None]).T.contiguous()

    @property
    def bytes(self) -> int:
        """Stored bytes, scales included."""
        return self.codes.numel() + 4 * self.scale.numel()


@dataclass(frozen=True)
class Finish:
    """What happens to a product's int32 sums: scales, columns kept apart, bias, ReLU, int8 again."""

    column_scale: torch.Tensor  # (outputs,)
    row_scale: torch.Tensor | None = None  # (tokens,)
    bias: torch.Tensor | None = None  # (outputs,)
    apart: tuple[torch.Tensor, torch.Tensor] | None = None  # (tokens, few) and (few, outputs), multiplied
    relu: bool = False
    next_scale: torch.Tensor | None = None  # one element: the result is int8 for the next product
    kind: torch.dtype = torch.float32  # of the result otherwise


def product(codes: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """int32 (tokens, outputs), exact; inputs and outputs are multiples of 8 on a GPU."""
    short = FEWEST_ROWS - len(codes) if codes.is_cuda else 0
    if short > 0:
        return torch._int_mm(functional.pad(codes, (0, 0, 0, short)), weight.t())[: len(codes)]
    return torch._int_mm(codes, weight.t())


def quantise_rows(x: torch.Tensor, kept: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 codes and the fp32 scale of each row, by its largest magnitude; columns not `kept` become zero."""
    if x.is_cuda:
        return _kernels().quantise_rows(x, kept)
    values = x.float() if kept is None else x.float() * kept
    scale = (values.abs().amax(1) / TOP).clamp_min(quantizing.SMALLEST)
    return torch.round(values / scale[:, None]).to(torch.int8), scale


def quantise_fixed(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """int8 codes by a scale known beforehand (one element)."""
    if x.is_cuda:
        return _kernels().quantise_fixed(x, scale)
    return torch.round(x.float() / scale).clamp(-TOP, TOP).to(torch.int8)


def norm_quantise(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """int8 codes of LayerNorm(x) by a scale known beforehand (one element), in one pass."""
    if x.is_cuda:
        return _kernels().norm_quantise(x, weight, bias, scale)
    normed = functional.layer_norm(x.float(), x.shape[-1:], weight.float(), bias.float())
    return quantise_fixed(normed, scale)


def finish(sums: torch.Tensor, how: Finish) -> torch.Tensor:
    """(tokens, outputs) from a product's sums, in one pass."""
    if sums.is_cuda:
        return _kernels().finish(sums, how)
    value = sums.float() * how.column_scale
    if how.row_scale is not None:
        value = value * how.row_scale[:, None]
    if how.apart is not None:
        value = value + how.apart[0].float() @ how.apart[1].float()
    if how.bias is not None:
        value = value + how.bias.float()
    value = value.relu() if how.relu else value
    return value.to(how.kind) if how.next_scale is None else quantise_fixed(value, how.next_scale)


def multiply(codes: torch.Tensor, weight: torch.Tensor, how: Finish) -> torch.Tensor:
    """`finish` of `product`; on a GPU by the fastest of the ways that agree, tried once for each shape."""
    if not codes.is_cuda or codes.shape[1] % _kernels().DEEP:
        return finish(product(codes, weight), how)
    ways = {APART: lambda: finish(product(codes, weight), how)}
    for name in _kernels().PRODUCTS:
        ways[name] = lambda name=name: _kernels().multiply(codes, weight, how, name)
    key = (len(codes), *weight.shape, how.apart is not None, how.next_scale is not None)
    if key not in _chosen:
        if torch.cuda.is_current_stream_capturing():
            return ways[APART]()
        _chosen[key] = fastest(ways, codes.device)
    return ways[_chosen[key]]()


def chosen() -> dict[str, str]:
    """The way that `multiply` took for each shape so far, and those it could not take, for the record."""
    return {f"left out: {way}": why for way, why in _refused.items()} | {
        f"{key[0]} x {key[2]} by {key[1]}{', columns apart' * key[3]}{', to codes' * key[4]}": way
        for key, way in _chosen.items()
    }


def fastest(ways: Mapping[str, Callable[[], torch.Tensor]], device: torch.device) -> str:
    """The name of the fastest; the first is right, others count only if they work and agree with it."""
    first = next(iter(ways))
    expected, times = ways[first]().float(), {}
    for name, work in ways.items():
        try:
            off = (work().float() - expected).norm() / expected.norm()
            if off.item() <= SAME:
                times[name] = min(_seconds(work, device) for _ in range(TRIES))
            else:
                _refused[name] = f"differs by {off.item():.3g}"
        except Exception as error:  # Triton's have no class in common but this
            if name == first:
                raise
            _refused[name] = f"{type(error).__name__}: {error}"[:300]
    return min(times, key=times.__getitem__)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    begun = time.perf_counter()
    for _ in range(CALLS):
        work()
    synchronise(device)
    return time.perf_counter() - begun


def _kernels() -> Any:
    """Imported when first used: a machine without a GPU has no Triton."""
    return importlib.import_module("reproduce.recipes.blocks.int8_kernels")
