"""A decoder layer of OPT in 16 bits, in int8 as SmoothQuant's O3, and in fp8. x is (batch, length, width).

Weights are random; smoothing is in the norms' gains beforehand, so it costs no time.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from reproduce.recipes.blocks.gemv import matvec8
from reproduce.recipes.blocks.int8 import (
    TOP,
    Finish,
    Int8Weight,
    multiply,
    norm_quantise,
    quantise_fixed,
)
from reproduce.recipes.memory import tensor_bytes

HALF = torch.float16
HEAD = 128
NAMES = ("qkv", "out", "up", "down")


@dataclass
class Cached:
    """Keys and values of the tokens before the one that is decoded, (batch, heads, length, HEAD)."""

    keys: torch.Tensor
    values: torch.Tensor


class Dense:
    """The layer as it was trained."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.width, self.head = width, min(HEAD, width)
        shapes = {"qkv": (3 * width, width), "out": (width, width), "up": (4 * width, width)}
        shapes["down"] = (width, 4 * width)
        self.weights = {
            name: torch.randn(shape, device=device).mul_(shape[1] ** -0.5).to(HALF)
            for name, shape in shapes.items()
        }
        self.biases = {
            name: torch.randn(shape[0], device=device).mul_(0.1).to(HALF) for name, shape in shapes.items()
        }
        self.norms = [
            (torch.ones(width, dtype=HALF, device=device), torch.zeros(width, dtype=HALF, device=device))
            for _ in range(2)
        ]

    def __call__(self, x: torch.Tensor, cached: Cached | None = None) -> torch.Tensor:
        return self.traced(x, cached)["result"]

    def traced(self, x: torch.Tensor, cached: Cached | None = None) -> dict[str, torch.Tensor]:
        """What each product is given, and the result."""
        seen = {"qkv": functional.layer_norm(x, x.shape[-1:], *self.norms[0])}
        seen["out"] = attended(self._linear("qkv", seen["qkv"]), self.head, cached)
        x = x + self._linear("out", seen["out"])
        seen["up"] = functional.layer_norm(x, x.shape[-1:], *self.norms[1])
        seen["down"] = self._linear("up", seen["up"]).relu_()
        return {**seen, "result": x + self._linear("down", seen["down"])}

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weights[name], self.biases[name])

    @property
    def bytes(self) -> int:
        """Of all weights, biases and norms."""
        vectors = [*self.biases.values(), *(part for norm in self.norms for part in norm)]
        return tensor_bytes([*self.weights.values(), *vectors])


class Int8:
    """The same layer with static scales, one a tensor; attention itself stays in 16 bits."""

    def __init__(self, dense: Dense, example: torch.Tensor) -> None:
        self.dense = dense
        self.weights = {name: Int8Weight.of(dense.weights[name], per_tensor=True) for name in NAMES}
        given = dense.traced(example)
        self.scales = {name: (given[name].abs().max().float() / TOP).reshape(1) for name in NAMES}
        self.both = {name: self.weights[name].scale * self.scales[name] for name in NAMES}

    def __call__(self, x: torch.Tensor, cached: Cached | None = None) -> torch.Tensor:
        flat, norms = x.flatten(0, 1), self.dense.norms
        codes = norm_quantise(flat, *norms[0], self.scales["qkv"])
        mixed = attended(self._product("qkv", codes, x.dtype).view(*x.shape[:2], -1), self.dense.head, cached)
        codes = quantise_fixed(mixed.flatten(0, 1), self.scales["out"])
        flat = flat + self._product("out", codes, x.dtype)
        codes = norm_quantise(flat, *norms[1], self.scales["up"])
        codes = self._product("up", codes, x.dtype, then="down")
        return (flat + self._product("down", codes, x.dtype)).view(x.shape)

    def _product(
        self, name: str, codes: torch.Tensor, kind: torch.dtype, then: str | None = None
    ) -> torch.Tensor:
        """The product with its bias; then ReLU and rounding for the product `then`, if there is one."""
        next_scale = None if then is None else self.scales[then]
        if len(codes) == 1:
            return self._of_one(name, codes, kind, next_scale)
        how = Finish(
            self.both[name],
            bias=self.dense.biases[name],
            relu=then is not None,
            next_scale=next_scale,
            kind=kind,
        )
        return multiply(codes, self.weights[name].codes, how)

    def _of_one(
        self, name: str, codes: torch.Tensor, kind: torch.dtype, next_scale: torch.Tensor | None
    ) -> torch.Tensor:
        out = (
            matvec8(self.weights[name].codes, codes[0], self.both[name][:1], kind)[None]
            + self.dense.biases[name]
        )
        return out if next_scale is None else quantise_fixed(out.relu_(), next_scale)

    @property
    def bytes(self) -> int:
        """Of all weights, scales, biases and norms."""
        kept = self.dense.bytes - tensor_bytes(list(self.dense.weights.values()))
        scales = [part for name in NAMES for part in (self.scales[name], self.both[name][:1])]
        return kept + tensor_bytes([*(weight.codes for weight in self.weights.values()), *scales])


class Fp8:
    """The same layer with products in fp8 (e4m3), a scale a weight; activations are cast as they are."""

    def __init__(self, dense: Dense) -> None:
        self.dense, self.one = dense, torch.ones((), device=dense.weights["qkv"].device)
        self.scales = {name: weight.abs().max().float() / 448 for name, weight in dense.weights.items()}
        self.weights = {
            name: (weight.float() / self.scales[name]).to(torch.float8_e4m3fn)
            for name, weight in dense.weights.items()
        }

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        flat, norms = x.flatten(0, 1), self.dense.norms
        qkv = self._linear("qkv", functional.layer_norm(flat, flat.shape[-1:], *norms[0]))
        flat = flat + self._linear(
            "out", attended(qkv.view(*x.shape[:2], -1), self.dense.head, None).flatten(0, 1)
        )
        hidden = self._linear("up", functional.layer_norm(flat, flat.shape[-1:], *norms[1])).relu_()
        return (flat + self._linear("down", hidden)).view(x.shape)

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return torch._scaled_mm(
            x.to(torch.float8_e4m3fn),
            self.weights[name].t(),
            scale_a=self.one,
            scale_b=self.scales[name],
            bias=self.dense.biases[name],
            out_dtype=x.dtype,
            use_fast_accum=True,
        )


def attended(qkv: torch.Tensor, head: int, cached: Cached | None) -> torch.Tensor:
    """Causal attention of (batch, length, 3 width); of one token if there are cached ones before it."""
    q, k, v = (part.unflatten(-1, (-1, head)).transpose(1, 2) for part in qkv.chunk(3, -1))
    if cached is not None:  # the new token's own key and value change nothing about the time
        k, v = cached.keys, cached.values
    out = functional.scaled_dot_product_attention(q, k, v, is_causal=cached is None)
    return out.transpose(1, 2).flatten(2)
