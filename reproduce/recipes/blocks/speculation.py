"""Speculative decoding on static buffers: a small model drafts, a large one accepts, all on the device.

Source: arXiv:2211.17192, algorithm 1. b sequences, each at its own place; V is the vocabulary. One step or
iteration never waits for the host, so each may be one CUDA graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch.nn import functional

from reproduce.recipes.blocks import decodestack
from reproduce.recipes.blocks.decodestack import normed
from reproduce.recipes.blocks.tinygpt import ROPE_BASE, TinyGPT

VERSION = 1


class Model(Protocol):
    """What decodes: stores the tokens' keys and values, and sees all before them."""

    def __call__(self, tokens: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        """(b, n) ids at places first..first + n - 1 of (b,) -> (b, n, V) logits."""


class Caches:
    """Keys and values of every layer, (b, 2, heads, capacity, width), written at each sequence's place."""

    def __init__(
        self, layers: int, batch: int, heads: int, capacity: int, width: int, like: torch.Tensor
    ) -> None:
        size = (batch, 2, heads, capacity, width)
        self.layers = [torch.randn(size, dtype=like.dtype, device=like.device) for _ in range(layers)]
        self.rows = torch.arange(batch, device=like.device)[:, None]
        self.span = torch.arange(capacity, device=like.device)

    def places(self, first: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, n) places of new tokens, and (b, 1, n, capacity): zero where each may look, else -inf."""
        places = first[:, None] + self.span[:count]
        beyond = self.span > places[:, :, None]
        bias = torch.zeros(beyond.shape, dtype=self.layers[0].dtype, device=places.device)
        return places, bias.masked_fill(beyond, float("-inf"))[:, None]

    def attend(
        self, layer: int, q: torch.Tensor, kv: torch.Tensor, places: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """Stores kv (b, n, 2, heads, width); mixes for q (b, heads, n, width) to (b, n, heads * width)."""
        cache = self.layers[layer]
        cache[self.rows, :, :, places] = kv
        mixed = functional.scaled_dot_product_attention(q, cache[:, 0], cache[:, 1], attn_mask=bias)
        return mixed.transpose(1, 2).flatten(2)


class Trained:
    """A TinyGPT with rotary positions, decoding from static caches."""

    def __init__(self, model: TinyGPT, batch: int, capacity: int) -> None:
        shape, self.model = model.shape, model
        like = model.head.weight
        self.caches = Caches(shape.layers, batch, shape.heads, capacity, shape.head_width, like)
        half = shape.head_width // 2
        self.rates = ROPE_BASE ** (-torch.arange(half, device=like.device, dtype=torch.float32) / half)

    def __call__(self, tokens: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        places, bias = self.caches.places(first, tokens.shape[1])
        angles = places[:, None, :, None].float() * self.rates
        x = self.model.embedding(tokens)
        for layer, block in enumerate(self.model.blocks):
            normal = block.norm_mixer(x)
            mixer, width = block.mixer, self.model.shape.head_width
            q, k, v = (
                linear(normal).unflatten(-1, (-1, width)) for linear in (mixer.query, mixer.key, mixer.value)
            )
            q = turned(q.transpose(1, 2), angles)
            kv = torch.stack((turned(k.transpose(1, 2), angles).transpose(1, 2), v), dim=2)
            x = x + mixer.out(self.caches.attend(layer, q, kv, places, bias))
            x = x + block.feed_forward(block.norm_forward(x))
        return self.model.head(self.model.norm(x))


def turned(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotary positions of (b, heads, n, width) by angles (b, 1, n, width / 2); as tinygpt.rotate does."""
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)


class Shaped:
    """A decoder of a known shape with random weights; attends to an encoder's output if the shape has one."""

    def __init__(
        self, shape: decodestack.Shape, batch: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.shape = shape
        self.layers, self.head = decodestack.random_weights(shape, dtype, device)
        self.embedding = torch.randn(shape.vocabulary, shape.width, dtype=dtype, device=device)
        self._room(batch, capacity)

    def _room(self, batch: int, capacity: int) -> None:
        shape, like = self.shape, self.embedding
        self.caches = Caches(shape.layers, batch, shape.heads, capacity, shape.head_width, like)
        self.memories = decodestack.random_caches(shape, batch, shape.memory, like.dtype, like.device)

    def roomier(self, batch: int, capacity: int) -> "Shaped":
        """The same weights with caches for another batch."""
        other = object.__new__(Shaped)
        other.shape, other.layers, other.head = self.shape, self.layers, self.head
        other.embedding = self.embedding
        other._room(batch, capacity)
        return other

    def __call__(self, tokens: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        places, bias = self.caches.places(first, tokens.shape[1])
        rows, shape = self.embedding[tokens].flatten(0, 1), self.shape
        for layer, weights in enumerate(self.layers):
            qkv = (normed(rows) @ weights["qkv"]).view(*tokens.shape, 3, shape.heads, shape.head_width)
            mixed = self.caches.attend(layer, qkv[:, :, 0].transpose(1, 2), qkv[:, :, 1:], places, bias)
            rows.addmm_(mixed.flatten(0, 1), weights["out"])
            if shape.memory:
                self._cross(rows, layer, weights, tokens.shape)
            rows.addmm_(self._hidden(normed(rows) @ weights["up"]), weights["down"])
        return (normed(rows) @ self.head).view(*tokens.shape, -1)

    def _cross(
        self, rows: torch.Tensor, layer: int, weights: dict[str, torch.Tensor], size: Sequence[int]
    ) -> None:
        q = (normed(rows) @ weights["cross_q"]).view(*size, self.shape.heads, -1).transpose(1, 2)
        memory = self.memories[layer]
        mixed = functional.scaled_dot_product_attention(q, memory.keys, memory.values)
        rows.addmm_(mixed.transpose(1, 2).reshape(len(rows), -1), weights["cross_out"])

    def _hidden(self, up: torch.Tensor) -> torch.Tensor:
        if not self.shape.gated:
            return functional.gelu(up)
        gate, value = up.chunk(2, dim=1)
        return functional.gelu(gate) * value


@dataclass
class Loop:
    """b sequences in `history` (b, capacity), of which `filled` (b,) tokens are known.

    The models' caches hold all but the last of them, or are to be `prefill`ed. At temperature 0 the likeliest
    token is taken, at 1 one is drawn.

    With `oracle` a drafted token is accepted by chance with that probability, whatever the models say.
    """

    target: Model
    draft: Model
    gamma: int
    history: torch.Tensor
    filled: torch.Tensor
    temperature: int = 0
    oracle: float | None = None
    examined: torch.Tensor = field(init=False)  # drafted tokens that were accepted, or the first that was not
    accepted: torch.Tensor = field(init=False)
    iterations: torch.Tensor = field(init=False)  # one for each sequence

    def __post_init__(self) -> None:
        self.begin = self.filled.clone()
        self.examined, self.accepted, self.iterations = (
            torch.zeros((), dtype=torch.long, device=self.filled.device) for _ in range(3)
        )

    def restart(self) -> None:
        """Forgets what was generated, and all counts."""
        self.filled.copy_(self.begin)
        for count in (self.examined, self.accepted, self.iterations):
            count.zero_()

    def prefill(self) -> None:
        """Lets both models see the prompt; every sequence must be equally long."""
        known = self.history[:, : int(self.filled[0])]
        first = torch.zeros_like(self.filled)
        self.target(known, first)
        self.draft(known, first)

    def step(self) -> None:
        """One token more for each sequence, by the target alone."""
        last = self.filled - 1
        logits = self.target(self.history.gather(1, last[:, None]), last)
        self._append(pick(logits[:, 0], self.temperature)[:, None], torch.ones_like(self.filled))

    def iterate(self) -> None:
        """Drafts gamma tokens, verifies them in one pass, keeps those accepted and one of the target's."""
        drafted, chances = self.drafted()
        last = self.filled - 1
        logits = self.target(torch.cat((self.history.gather(1, last[:, None]), drafted), dim=1), last)
        passed = self._passed(drafted, chances, logits)
        count = passed.long().cumprod(1).sum(1)
        new = self._next(count, chances, logits)
        tokens = torch.cat((drafted, drafted[:, :1]), dim=1).scatter(1, count[:, None], new[:, None])
        self._append(tokens, count + 1)
        self.accepted += count.sum()
        self.examined += (count + 1).clamp(max=self.gamma).sum()
        self.iterations += len(count)

    def drafted(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, gamma) tokens and (b, gamma, V) what the draft gave them.

        The first pass repeats the last token but one: if all was accepted, the draft has not seen it.
        """
        places = (self.filled - 2)[:, None] + torch.arange(2, device=self.filled.device)
        given, first = self.history.gather(1, places), self.filled - 2
        tokens, found = [], []
        for _ in range(self.gamma):
            logits = self.draft(given, first)[:, -1]
            first = first + given.shape[1]
            given = pick(logits, self.temperature)[:, None]
            tokens.append(given)
            found.append(logits)
        return torch.cat(tokens, dim=1), torch.stack(found, dim=1)

    def _passed(self, drafted: torch.Tensor, chances: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        if self.oracle is not None:
            return torch.rand(drafted.shape, device=drafted.device) < self.oracle
        return accept(drafted, chances, logits[:, :-1], self.temperature)

    def _next(self, count: torch.Tensor, chances: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """(b,): the target's own token at the first place that was not accepted."""
        at = count[:, None, None]
        mine = logits.gather(1, at.expand(-1, 1, logits.shape[-1]))[:, 0]
        if not self.temperature:
            return mine.argmax(-1)
        theirs = chances.gather(1, at.clamp(max=self.gamma - 1).expand(-1, 1, logits.shape[-1]))[:, 0]
        p, q = mine.float().softmax(-1), theirs.float().softmax(-1)
        rest = torch.where(count[:, None] < self.gamma, (p - q).clamp(min=0), p)
        return drawn(rest)

    def _append(self, tokens: torch.Tensor, count: torch.Tensor) -> None:
        """Writes all tokens after the known ones, of which `count` are known then; starts over when full."""
        places = self.filled[:, None] + torch.arange(tokens.shape[1], device=tokens.device)
        self.history.scatter_(1, places, tokens)
        after = self.filled + count
        room = self.history.shape[1] - self.gamma - 2
        self.filled.copy_(torch.where(after > room, self.begin, after))


def accept(
    drafted: torch.Tensor, chances: torch.Tensor, logits: torch.Tensor, temperature: int
) -> torch.Tensor:
    """(b, gamma): whether the target, by its logits (b, gamma, V), lets each drafted token pass."""
    if not temperature:
        return drafted == logits.argmax(-1)
    p, q = (part.float().softmax(-1).gather(2, drafted[:, :, None])[:, :, 0] for part in (logits, chances))
    return torch.rand(p.shape, device=p.device) * q < p


def pick(logits: torch.Tensor, temperature: int) -> torch.Tensor:
    """(..., V) -> (...): the likeliest token, or one drawn."""
    return drawn(logits.float().softmax(-1)) if temperature else logits.argmax(-1)


def drawn(weights: torch.Tensor) -> torch.Tensor:
    """(..., V) weights of any sum -> (...): a token drawn in proportion, without waiting for the device."""
    return (weights / torch.empty_like(weights).exponential_()).argmax(-1)


def tokens_per_iteration(alpha: float, gamma: int) -> float:
    """Expected tokens if each is accepted with chance alpha. Source: arXiv:2211.17192, equation 1."""
    return float(gamma + 1) if alpha == 1 else (1 - alpha ** (gamma + 1)) / (1 - alpha)


def speedup(alpha: float, gamma: int, cost: float, verify: float = 1.0) -> float:
    """Expected speed-up if a draft step costs `cost` steps of the target, and verifying `verify` of them.

    Source: arXiv:2211.17192, theorem 3.8, where `verify` is 1.
    """
    return tokens_per_iteration(alpha, gamma) / (gamma * cost + verify)
