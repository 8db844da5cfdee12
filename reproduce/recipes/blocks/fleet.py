"""Many small transformers of one shape computed at once, each with its own weights and data.

Small models do not fill a GPU, so their products are batched; blocks/fleet_learning trains them together.
A member is a TinyGPT with learned positions and norms without gains; tensors are (models, batch, length).
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional

from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT

VERSION = 1
Size = tuple[int, int]  # rows (outputs) and columns (inputs) of a matrix


@dataclass(frozen=True)
class Manner:
    """How the matrix `name` of a size starts and learns; by default as GPT-2's, all at the same rate.

    `deviation` is that of the initial weights, `rate` multiplies the learning rate, `attention` scales
    products of queries and keys (one over the root of the head's width if None), `output` the logits.
    """

    deviation: Callable[[str, Size], float] | None = None
    rate: Callable[[str, Size], float] | None = None
    attention: float | None = None
    output: float = 1.0


class Fleet:
    """One model for each of `seeds`, equal seeds with equal weights. All lie in `flat`, (models, P)."""

    def __init__(
        self,
        shape: Shape,
        seeds: Sequence[int],
        device: torch.device,
        manner: Manner | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.shape, self.manner, self.count = shape, manner or Manner(), len(seeds)
        self.sizes = _sizes(shape)
        lengths = [rows * columns for rows, columns in self.sizes.values()]
        deviation = self.manner.deviation or partial(_gpt2, shape.layers)
        self.flat = torch.empty(self.count, sum(lengths), device=device, dtype=dtype)
        for row, seed in zip(self.flat, seeds, strict=True):
            generator = torch.Generator(device).manual_seed(seed)
            for part, (name, size) in zip(row.split(lengths), self.sizes.items(), strict=True):
                part.normal_(0.0, deviation(name, size), generator=generator)
        self.flat.requires_grad_()
        self.half = torch.bfloat16 if device.type == "cuda" else dtype

    def parameters(self, embeddings: bool = True) -> int:
        """Of one model; without embeddings, positions and output weights if so asked."""
        skipped = () if embeddings else ("embedding", "places", "head")
        return sum(a * b for name, (a, b) in self.sizes.items() if name not in skipped)

    def weights(self) -> dict[str, torch.Tensor]:
        """Each matrix of all models, (models, rows, columns), in the precision of the products."""
        lengths = [rows * columns for rows, columns in self.sizes.values()]
        parts = self.flat.to(self.half).split(lengths, dim=1)
        return {
            name: part.unflatten(1, size)
            for (name, size), part in zip(self.sizes.items(), parts, strict=True)
        }

    def logits(
        self, tokens: torch.Tensor, watch: Callable[[str, torch.Tensor], None] | None = None
    ) -> torch.Tensor:
        """(models or 1, batch, length) ids -> (models, batch * length, vocabulary).

        `watch(name, activations)` sees what each layer adds to the residual stream, and the logits.
        """
        matrix, shape = self.weights(), self.shape
        batch, length = tokens.shape[1:]
        ids = torch.arange(shape.vocabulary, device=tokens.device)
        one_hot = (tokens.flatten(1)[..., None] == ids).to(self.half).expand(self.count, -1, -1)
        x = torch.bmm(one_hot, matrix["embedding"]).to(self.flat.dtype).unflatten(1, (batch, length))
        x = (x + matrix["places"][:, None, :length]).flatten(1, 2)
        for layer in range(shape.layers):
            added = self._attend(_norm(x, self.half), matrix, layer, length)
            x = x + added
            hidden = functional.gelu(_product(_norm(x, self.half), matrix[f"up.{layer}"]))
            fed = _product(hidden, matrix[f"down.{layer}"])
            x = x + fed
            if watch:
                watch(f"attention.{layer}", added)
                watch(f"forward.{layer}", fed)
        last = matrix["embedding" if shape.tied else "head"]
        found = _product(_norm(x, self.half), last).to(self.flat.dtype)
        if self.manner.output != 1.0:
            found = found * self.manner.output
        if watch:
            watch("logits", found)
        return found

    def loss(self, tokens: torch.Tensor) -> torch.Tensor:
        """(models,) mean cross-entropies in nats of (models or 1, batch, length + 1) ids."""
        found = self.logits(tokens[..., :-1])
        wanted = tokens[..., 1:].flatten(1).expand(self.count, -1)
        each = functional.cross_entropy(found.flatten(0, 1), wanted.flatten(), reduction="none")
        return each.unflatten(0, (self.count, -1)).mean(1)

    def evaluate(self, tokens: torch.Tensor, parts: int = 8) -> torch.Tensor:
        """(models,) losses, without gradients, in `parts` pieces of equal size."""
        with torch.no_grad():
            return torch.stack([self.loss(piece) for piece in tokens.chunk(parts, dim=1)]).mean(0)

    def copies(self, index: int, count: int) -> "Fleet":
        """The same model `count` times, not to be trained: to judge it on different tokens at once."""
        found = copy(self)
        found.count, found.flat = count, self.flat.detach()[index].expand(count, -1)
        return found

    def member(self, index: int) -> TinyGPT:
        """One model as a TinyGPT on the same device, for generation; only in the default manner."""
        model = TinyGPT(self.shape).to(self.flat.device, self.flat.dtype)
        lengths = [rows * columns for rows, columns in self.sizes.values()]
        parts = self.flat.detach()[index].split(lengths)
        own = {n: part.view(size) for (n, size), part in zip(self.sizes.items(), parts, strict=True)}
        state = {"embedding.weight": own["embedding"], "places.weight": own["places"]}
        state["head.weight"] = own["embedding" if self.shape.tied else "head"]
        for layer in range(self.shape.layers):
            block = f"blocks.{layer}"
            for name, part in zip(("query", "key", "value"), own[f"qkv.{layer}"].chunk(3), strict=True):
                state[f"{block}.mixer.{name}.weight"] = part
            state[f"{block}.mixer.out.weight"] = own[f"out.{layer}"]
            for name in ("up", "down"):
                state[f"{block}.feed_forward.{name}.weight"] = own[f"{name}.{layer}"]
        missing = model.load_state_dict(state, strict=False)
        assert all("norm" in name for name in missing.missing_keys)
        assert not missing.unexpected_keys
        return model.eval()

    def _attend(
        self, x: torch.Tensor, matrix: dict[str, torch.Tensor], layer: int, length: int
    ) -> torch.Tensor:
        parts = _product(x, matrix[f"qkv.{layer}"]).unflatten(1, (-1, length)).flatten(0, 1)
        q, k, v = parts.unflatten(2, (3, self.shape.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.manner.attention)
        together = mixed.transpose(1, 2).flatten(2).unflatten(0, (self.count, -1)).flatten(1, 2)
        return _product(together, matrix[f"out.{layer}"])


def _sizes(shape: Shape) -> dict[str, Size]:
    """Names and sizes of a model's matrices, in their order in memory."""
    width, hidden = shape.width, shape.hidden or 4 * shape.width
    found: dict[str, Size] = {"embedding": (shape.vocabulary, width), "places": (shape.length, width)}
    for layer in range(shape.layers):
        found[f"qkv.{layer}"] = (3 * width, width)
        found[f"out.{layer}"] = (width, width)
        found[f"up.{layer}"] = (hidden, width)
        found[f"down.{layer}"] = (width, hidden)
    return found if shape.tied else {**found, "head": (shape.vocabulary, width)}


def _gpt2(layers: int, name: str, _: Size) -> float:
    """0.02, less for what writes into the residual stream."""
    return 0.02 / (2 * layers) ** 0.5 if name.startswith(("out", "down")) else 0.02


def _product(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """(models, tokens, columns) times (models, rows, columns) -> (models, tokens, rows)."""
    return torch.bmm(x, matrix.transpose(1, 2))


def _norm(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return functional.rms_norm(x, x.shape[-1:]).to(dtype)
