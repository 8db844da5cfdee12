"""A cache that rolls, token i being stored at i mod window, so that it never grows; and one that keeps all.

Keys carry their positions already (rotary), so their order in the buffer does not matter.
"""

import torch
from torch.nn import functional

from reproduce.recipes.context import Context
from reproduce.recipes.memory import tensor_bytes
from reproduce.recipes.toolbox import release, synchronise


class Cache:
    """Keys and values of all layers in (layers, batch, kv heads, capacity, d); a full one never wraps."""

    def __init__(
        self, size: tuple[int, int, int, int, int], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.capacity, self.seen = size[3], 0
        self.keys, self.values = (torch.zeros(size, dtype=dtype, device=device) for _ in range(2))

    def put(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Stores a token's (batch, kv heads, d) of a layer."""
        slot = self.slot(self.seen)
        self.keys[layer, :, :, slot] = keys
        self.values[layer, :, :, slot] = values

    def slot(self, token: int) -> int:
        """Where a token goes."""
        return token % self.capacity

    def attend(self, layer: int, q: torch.Tensor) -> torch.Tensor:
        """The newest token's query (batch, heads, 1, d) over all that is kept of a layer."""
        end = min(self.seen + 1, self.capacity)
        k, v = self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
        return functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    def bytes(self) -> int:
        """Of keys and values."""
        return tensor_bytes([self.keys, self.values])


def generate(
    window: int, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, device: torch.device, asked: set[int]
) -> torch.Tensor:
    """Attention of the tokens `asked` through a rolling cache of one layer; shapes as in attention.py."""
    cache, out = Cache((1, *k.shape[:2], window, k.shape[3]), k.dtype, device), []
    for token in range(q.shape[2]):
        cache.put(0, k[:, :, token], v[:, :, token])
        if token in asked:
            out.append(cache.attend(0, q[:, :, token : token + 1]))
        cache.seen += 1
    return torch.cat(out, dim=2)


def count(context: Context) -> None:
    """Measures cache_saving at the paper's length from allocated bytes; charts bytes over tokens."""
    window, tokens = context["window"], context["cache_tokens"]
    full, rolling = (_allocated(context, capacity) for capacity in (tokens, min(window, tokens)))
    context.measure(
        "cache_saving",
        full / rolling,
        predicted=tokens / window,
        predicted_note="Tokens over window.",
        detail={"full_bytes": full, "rolling_bytes": rolling, "tokens": tokens, "window": window},
    )
    lengths = [tokens * 2**power // 32 for power in range(6)]
    context.chart(
        "cache",
        "Bytes of the key and value cache of one sequence",
        ("Tokens", "tokens", True),
        ("Cache", "MB", True),
        [
            {"label": "everything kept", "x": lengths, "y": [full / tokens * n / 1e6 for n in lengths]},
            {"label": "rolling", "x": lengths, "y": [full / tokens * min(n, window) / 1e6 for n in lengths]},
        ],
    )


def _allocated(context: Context, capacity: int) -> int:
    """Bytes that a cache of all layers takes from the allocator; those of its tensors on a CPU."""
    release(context.device)
    size = (context["layers"], 1, context["kv_heads"], capacity, context["head_dim"])
    if context.device.type != "cuda":
        return Cache(size, torch.float32, context.device).bytes()
    before = torch.cuda.memory_allocated(context.device)
    cache = Cache(size, torch.float16, context.device)
    synchronise(context.device)
    found = torch.cuda.memory_allocated(context.device) - before
    del cache
    return found
