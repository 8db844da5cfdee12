"""A transformer that serves slots: prompts into a slot's cache, and one token more for the first slots.

Every batch and window that occurs is one CUDA graph; lengths and slots are data, not shapes.
"""

import time
from functools import partial

import torch
from torch.nn import functional

from reproduce.recipes.blocks.decoding import capture
from reproduce.recipes.blocks.tinygpt import Attention, Block, Shape, TinyGPT
from reproduce.recipes.toolbox import Work, synchronise

from .scheduling import Placed

SHAPES = {
    "tiny": Shape(2, 64, 2, length=160, vocabulary=256, norm="layer", positions="learned", tied=False),
    "1.3b": Shape(24, 2048, 16, length=1024, vocabulary=50272, norm="layer", positions="learned", tied=False),
}
GRAIN = {
    "tiny": 32,
    "1.3b": 128,
}  # prompts and windows are padded to multiples of it, batches to powers of two


def build(name: str, layers: int | None, dtype: torch.dtype, device: torch.device) -> TinyGPT:
    """Random weights of that shape, or of its first layers."""
    shape = SHAPES[name]
    shape = Shape(**{**shape.__dict__, "layers": layers or shape.layers})
    with torch.device(device):
        return TinyGPT(shape).to(dtype).requires_grad_(False)


class Slots:
    """The engine: `slots` sequences with their caches, where each is to go on, and all that they saw."""

    def __init__(self, model: TinyGPT, slots: int, grain: int, seed: int = 0) -> None:
        self.model, self.slots, self.grain = model, slots, grain
        like, shape = model.head.weight, model.shape
        size = (slots, shape.heads, shape.length, shape.head_width)
        self.device = like.device
        self.keys, self.values = (
            [torch.zeros(size, dtype=like.dtype, device=self.device) for _ in range(shape.layers)]
            for _ in range(2)
        )
        self.history = torch.zeros(slots, shape.length, dtype=torch.long, device=self.device)
        self.positions = torch.zeros(slots, dtype=torch.long, device=self.device)
        self.where, self.ends = (torch.zeros(slots, dtype=torch.long, device=self.device) for _ in range(2))
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(shape.vocabulary, (256, shape.length), generator=generator)
        self.prompts = drawn.to(self.device)
        self._graphs: dict[tuple[str, int, int], Work] = {}

    def prefill(self, placed: Placed) -> float:
        """Seconds. The prompts lie in the requests' slots then, and each has its first token."""
        synchronise(self.device)
        begun = time.perf_counter()
        batch, length = self.prefill_cell(placed)
        filler = self._fillers(placed, batch)
        self.where[:batch] = torch.tensor([*(slot for slot, _ in placed), *filler], device=self.device)
        ends = [request.prompt for _, request in placed]
        self.ends[:batch] = torch.tensor([*ends, *[1] * len(filler)], device=self.device)
        numbers = torch.tensor([request.number for _, request in placed], device=self.device)
        slots = self.where[: len(placed)]
        self.history[slots, :length] = self.prompts[numbers % len(self.prompts), :length]
        self.work("prefill", batch, length)()
        synchronise(self.device)
        return time.perf_counter() - begun

    def decode(self, placed: Placed, longest: int) -> float:
        """Seconds. Empty slots below the highest are computed too, and mean nothing."""
        synchronise(self.device)
        begun = time.perf_counter()
        self.work("decode", *self.decode_cell(placed, longest))()
        synchronise(self.device)
        return time.perf_counter() - begun

    def prefill_cell(self, placed: Placed) -> tuple[int, int]:
        """The batch and the length that are computed for these prompts."""
        return _power(len(placed)), self._padded(max(request.prompt for _, request in placed))

    def decode_cell(self, placed: Placed, longest: int) -> tuple[int, int]:
        """The batch and the window that are computed for these slots."""
        return _power(max(slot for slot, _ in placed) + 1), self._padded(longest)

    def tokens(self, slot: int, prompt: int, output: int) -> list[int]:
        """What the slot's request got."""
        return self.history[slot, prompt : prompt + output].tolist()

    def decode_bytes(self, batch: int, window: int) -> int:
        """Bytes that a decode step reads at least: weights, and the window of every computed slot."""
        read = (*self.model.blocks.parameters(), self.model.head.weight)
        one = 2 * self.keys[0][0, :, 0].numel() * len(self.keys)
        return (sum(part.numel() for part in read) + batch * window * one) * self.keys[0].element_size()

    def work(self, kind: str, batch: int, length: int) -> Work:
        """The graph of that kind and size, recorded when it is first asked for."""
        cell = (kind, batch, length)
        if cell not in self._graphs:
            step = partial({"prefill": self._prefill, "decode": self._decode}[kind], batch, length)
            before = self.positions.clone()
            self._graphs[cell] = capture(step, self.device)
            self.positions.copy_(before)  # recording ran the step; what it wrote will be written again
        return self._graphs[cell]

    def _fillers(self, placed: Placed, batch: int) -> list[int]:
        """Slots for the padding of a batch: none that a request of it has."""
        taken = {slot for slot, _ in placed}
        return [slot for slot in reversed(range(self.slots)) if slot not in taken][: batch - len(placed)]

    def _padded(self, length: int) -> int:
        return min(self.model.shape.length, -(-length // self.grain) * self.grain)

    def _prefill(self, batch: int, length: int) -> None:
        where, ends = self.where[:batch], self.ends[:batch]
        x = self.model.embedding(self.history[where, :length]) + self.model.places.weight[:length]
        for layer, block in enumerate(self.model.blocks):
            q, k, v = heads(block, x)
            for cache, new in ((self.keys[layer], k), (self.values[layer], v)):
                cache[:, :, :length].index_copy_(0, where, new)
            x = rest(block, x, functional.scaled_dot_product_attention(q, k, v, is_causal=True))
        last = x[torch.arange(batch, device=self.device), ends - 1]
        self._append(where, ends, last)

    def _decode(self, batch: int, window: int) -> None:
        rows, places = torch.arange(batch, device=self.device), self.positions[:batch]
        x = self.model.embedding(self.history[rows, places])[:, None] + self.model.places(places)[:, None]
        bias = visible(places, window).to(x.dtype)
        for layer, block in enumerate(self.model.blocks):
            q, k, v = heads(block, x)
            self.keys[layer][rows, :, places] = k[:, :, 0]
            self.values[layer][rows, :, places] = v[:, :, 0]
            cached = self.keys[layer][:batch, :, :window], self.values[layer][:batch, :, :window]
            x = rest(block, x, functional.scaled_dot_product_attention(q, *cached, attn_mask=bias))
        self._append(rows, (places + 1).clamp(max=self.model.shape.length - 1), x[:, 0])

    def _append(self, slots: torch.Tensor, places: torch.Tensor, features: torch.Tensor) -> None:
        """The likeliest next token of each slot, at its place."""
        self.history[slots, places] = self.model.head(self.model.norm(features)).argmax(-1)
        self.positions[slots] = places


def visible(places: torch.Tensor, window: int) -> torch.Tensor:
    """(batch, 1, 1, window): zero up to each slot's place, minus infinity beyond."""
    beyond = torch.arange(window, device=places.device) > places[:, None]
    return torch.zeros(beyond.shape, device=places.device).masked_fill(beyond, float("-inf"))[:, None, None]


def heads(block: Block, x: torch.Tensor) -> list[torch.Tensor]:
    """Queries, keys and values, (batch, heads, n, head width) each."""
    mixer: Attention = block.mixer
    normed, width = block.norm_mixer(x), mixer.shape.head_width
    return [
        linear(normed).unflatten(-1, (-1, width)).transpose(1, 2)
        for linear in (mixer.query, mixer.key, mixer.value)
    ]


def rest(block: Block, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
    """What a block does after attention."""
    x = x + block.mixer.out(mixed.transpose(1, 2).flatten(2))
    return x + block.feed_forward(block.norm_forward(x))


def _power(count: int) -> int:
    return 1 << (count - 1).bit_length()
