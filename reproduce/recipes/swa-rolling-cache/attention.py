"""Causal attention within a window: a token sees itself and the window - 1 tokens before it.

Queries are (batch, heads, n, d), keys and values (batch, kv heads, n, d).
"""

from collections.abc import Callable
from functools import cache

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from reproduce.recipes.context import Context

BLOCK = 128  # of the flex kernel
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Windowed = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]  # the last: the window


def full(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """FlashAttention over everything before: the baseline."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


def flash_window(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int) -> torch.Tensor:
    """FlashAttention's own window, which PyTorch's public function does not offer."""
    q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))
    length = q.shape[1]
    found = torch.ops.aten._flash_attention_forward(
        *(q, k, v, None, None, length, length, 0.0, True, False),
        window_size_left=window - 1,
        window_size_right=0,
    )
    return found[0].transpose(1, 2)


def flex_window(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int) -> torch.Tensor:
    """Flex attention, compiled, over the blocks that the window touches."""
    blocks = _blocks(q.shape[2], window, q.device)
    return _flexible()(q, k, v, block_mask=blocks, enable_gqa=True)


def masked_window(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int) -> torch.Tensor:
    """Fused attention with the window as a mask: what a CPU does; saves nothing."""
    place = torch.arange(q.shape[2], device=q.device)
    back = place[:, None] - place
    seen = (back >= 0) & (back < window)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)


def windowed(context: Context) -> dict[str, Windowed]:
    """The ways of attending within a window that run here, with gradients. RuntimeError if none does."""
    if context.device.type != "cuda":
        return {"masked": masked_window}
    found: dict[str, Windowed] = {}
    for name, attend in (("flex", flex_window), ("flash window", flash_window)):
        try:
            q, k, v = random(context, context["length"])
            attend(q, k, v, context["window"]).sum().backward()
            found[name] = attend
        except Exception as error:  # a compiler or a private function may fail in any way
            context.log(f"{name}: left out, {type(error).__name__}: {str(error)[:300]}")
    if not found:
        raise RuntimeError("No windowed attention runs here.")
    return found


def random(context: Context, length: int, gradients: bool = True) -> list[torch.Tensor]:
    """Standard normal queries, keys and values of one sequence, in half precision on a GPU."""
    dtype = torch.float16 if context.device.type == "cuda" else torch.float32
    heads = context["heads"], context["kv_heads"], context["kv_heads"]
    return [
        torch.randn(
            (1, count, length, context["head_dim"]),
            dtype=dtype,
            device=context.device,
            requires_grad=gradients,
        )
        for count in heads
    ]


@cache
def _flexible() -> Callable[..., torch.Tensor]:
    return torch.compile(flex_attention)


@cache
def _blocks(length: int, window: int, device: torch.device) -> BlockMask:
    """Which blocks of keys a block of queries sees, in whole or in part; made without the n x n mask."""
    block = torch.arange(-(-length // BLOCK), device=device)
    apart = BLOCK * (block[:, None] - block)  # from a key to a query, for the blocks' first tokens
    nearest, farthest = apart - (BLOCK - 1), apart + (BLOCK - 1)
    whole = (nearest >= 0) & (farthest < window)
    partly = (farthest >= 0) & (nearest < window) & ~whole
    return BlockMask.from_kv_blocks(
        *_listed(partly),
        *_listed(whole),
        BLOCK_SIZE=BLOCK,
        mask_mod=_seen(window),
        seq_lengths=(length, length),
    )


def _listed(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many blocks each row has, and which: those first, the others after them."""
    order = blocks.int().argsort(dim=1, descending=True, stable=True)
    return blocks.sum(1).int()[None, None], order.int()[None, None]


@cache
def _seen(window: int) -> Callable[..., torch.Tensor]:
    def seen(batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (query >= key) & (query - key < window)

    return seen
