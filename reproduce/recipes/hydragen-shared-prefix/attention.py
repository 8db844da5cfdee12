"""One decoding step of attention over a prefix that all sequences share and a suffix of each one's own.

Queries are (batch, heads, d); keys and values (batch or 1, heads, tokens, d). Source: arXiv:2402.05099.
"""

import math
from dataclasses import dataclass

import torch

Part = tuple[torch.Tensor, torch.Tensor]  # attention's output, and the log of its weights' sum


@dataclass
class Caches:
    """Keys and values of the shared prefix, once, and of each sequence's suffix."""

    prefix: tuple[torch.Tensor, torch.Tensor]
    suffix: tuple[torch.Tensor, torch.Tensor]

    @classmethod
    def random(
        cls, batch: int, prefix: int, suffix: int, size: tuple[int, int], like: torch.Tensor
    ) -> "Caches":
        """Standard normal, for `size` = (heads, d), in the format and place of `like`."""
        heads, width = size
        shapes = ((1, heads, prefix, width), (batch, heads, suffix, width))
        pairs = [tuple(like.new_empty(shape).normal_() for _ in range(2)) for shape in shapes]
        return cls(*pairs)

    def replicated(self) -> "Replicated":
        """The same with a copy of the prefix for each sequence."""
        return Replicated([_whole(*pair) for pair in zip(self.prefix, self.suffix, strict=True)])

    def store(self, key: torch.Tensor, value: torch.Tensor) -> None:
        """Writes a step's new keys and values, (batch, heads, d), as the last of the suffix."""
        self.suffix[0][:, :, -1], self.suffix[1][:, :, -1] = key, value

    def hydragen(self, q: torch.Tensor) -> torch.Tensor:
        """The queries of all sequences attend to the prefix together, as one block of queries."""
        out, total = partial(q[None].transpose(1, 2), *self.prefix)
        return merge((out[0].transpose(0, 1), total[0].T), self._own(q))

    def shared(self, q: torch.Tensor) -> torch.Tensor:
        """Each sequence attends to the prefix for itself; the prefix is stored once and read for each."""
        prefix = [tensor.expand(len(q), -1, -1, -1) for tensor in self.prefix]
        out, total = partial(q[:, :, None], *prefix)
        return merge((out[:, :, 0], total[:, :, 0]), self._own(q))

    def _own(self, q: torch.Tensor) -> Part:
        out, total = partial(q[:, :, None], *self.suffix)
        return out[:, :, 0], total[:, :, 0]


@dataclass
class Replicated:
    """Keys and values of prefix and suffix in one piece for each sequence."""

    whole: list[torch.Tensor]

    def store(self, key: torch.Tensor, value: torch.Tensor) -> None:
        """Writes a step's new keys and values, (batch, heads, d), as the last ones."""
        self.whole[0][:, :, -1], self.whole[1][:, :, -1] = key, value

    def undivided(self, q: torch.Tensor) -> torch.Tensor:
        """Each sequence attends to its own copy, in one call."""
        return partial(q[:, :, None], *self.whole)[0][:, :, 0]


def partial(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Part:
    """Attention of (batch, heads, queries, d) to some of the tokens; (batch, heads, queries) log-sums.

    PyTorch's flash kernel, which splits long keys among processors; operation by operation for fp32 on a GPU,
    and for fp64.
    """
    flash = torch.ops.aten
    if q.is_cuda and q.dtype in (torch.float16, torch.bfloat16):
        return flash._scaled_dot_product_flash_attention(q, k, v)[:2]
    if not q.is_cuda and q.dtype != torch.float64:
        return flash._scaled_dot_product_flash_attention_for_cpu(q, k, v)[:2]
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return torch.softmax(scores, dim=-1) @ v, scores.logsumexp(-1)


def merge(first: Part, second: Part) -> torch.Tensor:
    """Attention to both parts' tokens: outputs weighted by the parts' sums of weights."""
    share = torch.sigmoid(first[1] - second[1])[..., None]
    merged = torch.empty_like(first[0])
    return torch.add(first[0] * share, second[0] * (1 - share), out=merged)


def _whole(prefix: torch.Tensor, suffix: torch.Tensor) -> torch.Tensor:
    batch, heads, own, width = suffix.shape
    whole = suffix.new_empty(batch, heads, prefix.shape[2] + own, width)
    whole[:, :, : prefix.shape[2]], whole[:, :, prefix.shape[2] :] = prefix, suffix
    return whole
