"""A cache of keys and values that grows by copying: a longer tensor for each token, as libraries had it.

Keys and values are (batch, kv heads, tokens, width). Source: incremental decoding in model libraries of 2023.
"""

import torch

from reproduce.recipes.blocks.decoding import KeyValues

VERSION = 1


class Growing(KeyValues):
    """Reads the memory of static buffers as one dense tensor of just the tokens before.

    In a library that tensor came out of the copy of the step before, so it is dense and the copy is fast: a
    slice of longer buffers would be copied number by number. Whose numbers they are does not matter for time.
    """

    def put(self, position: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Remembers one token's (batch, kv heads, width)."""
        self.latest = keys[:, :, None].contiguous(), values[:, :, None].contiguous()

    def upto(self, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Copies of all tokens, the latest at the end."""
        old = dense(self.keys, end - 1), dense(self.values, end - 1)
        keys, values = (torch.cat(pair, dim=2) for pair in zip(old, self.latest, strict=True))
        return keys, values


def dense(buffer: torch.Tensor, tokens: int) -> torch.Tensor:
    """The first numbers of a dense buffer as (batch, kv heads, tokens, width), nothing copied."""
    batch, heads, _, width = buffer.shape
    size = (batch, heads, tokens, width)
    return buffer.view(-1)[: batch * heads * tokens * width].view(size)
