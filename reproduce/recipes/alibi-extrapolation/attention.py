"""Causal attention with and without ALiBi: its matrices in memory, and fused; on (batch, heads, n, d)."""

import math
from collections.abc import Callable
from functools import cache, partial

import torch
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from reproduce.recipes.blocks.tinygpt import Shape, alibi_slopes
from reproduce.recipes.context import Context

Attend = Callable[..., torch.Tensor]
SHAPES = {
    "tiny": Shape(2, 64, 2, 0, 256, norm="layer", positions="none"),
    "1.3B": Shape(24, 2048, 16, 0, 50_265, norm="layer", positions="none"),
}
LIMITS = {torch.float32: 1e-4, torch.bfloat16: 3e-2}  # of relative norms


def standard(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None, *, alibi: bool
) -> torch.Tensor:
    """softmax(q k' / sqrt d + bias) v, operation by operation; the given bias is replaced by ours."""
    added = bias_of(q.shape[1], q.shape[2], q.dtype, q.device, alibi)
    return torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + added, dim=-1) @ v


def flash(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """PyTorch's fused causal attention, without ALiBi."""
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def masked(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """PyTorch's fused attention with ALiBi as an added mask, where flex attention does not run."""
    added = bias_of(q.shape[1], q.shape[2], q.dtype, q.device, True)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=added)


@cache
def flexible() -> Attend:
    """Flex attention, compiled: ALiBi is computed inside, blocks after the diagonal are skipped."""
    compiled = torch.compile(flex_attention, dynamic=False)

    def attend(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        rise = _rise(q.shape[1], q.device)
        return compiled(q, k, v, score_mod=rise, block_mask=_causal_blocks(q.shape[2], q.device))

    return attend


def fused_alibi(context: Context) -> Attend:
    """Flex attention on a GPU if it runs there, forward and backward; else the added mask."""
    if context.device.type != "cuda":
        return masked
    attend = flexible()
    try:
        attend(*_random(context)).sum().backward()
    except Exception as error:  # whatever a compiler may raise
        context.log(f"No flex attention: {type(error).__name__}: {str(error)[:300]}")
        return masked
    return attend


@cache
def bias_of(heads: int, length: int, dtype: torch.dtype, device: torch.device, alibi: bool) -> torch.Tensor:
    """(heads or 1, n, n): minus slope times distance, and minus infinity after the diagonal."""
    place = torch.arange(length, device=device)
    back = place[:, None] - place
    bias = (
        -back * alibi_slopes(heads, device)[:, None, None] if alibi else torch.zeros_like(back)[None].float()
    )
    return bias.masked_fill(back < 0, -math.inf).to(dtype)


@cache
def _rise(heads: int, device: torch.device) -> Attend:
    slopes = alibi_slopes(heads, device)

    def rise(
        score: torch.Tensor, batch: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        return score + slopes[head] * (key - query)

    return rise


@cache
def _causal_blocks(length: int, device: torch.device) -> object:
    return create_block_mask(lambda b, h, query, key: query >= key, None, None, length, length, device=device)


def _random(context: Context) -> list[torch.Tensor]:
    """Queries, keys and values of the training step that is timed, so that a kernel is compiled once."""
    shape, device = SHAPES[context["shape"]], context.device
    size = (context["tokens"] // context["short"], shape.heads, context["short"], shape.head_width)
    generator = torch.Generator(device).manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return [
        torch.randn(size, generator=generator, device=device).to(dtype).requires_grad_() for _ in range(3)
    ]


def arms(context: Context) -> dict[str, tuple[Attend, Attend]]:
    """For each backend: attention with ALiBi, and without."""
    return {
        "math": (partial(standard, alibi=True), partial(standard, alibi=False)),
        "fused": (fused_alibi(context), flash),
    }


def check(context: Context) -> None:
    """Guards attention_math and attention_fused: output and gradients against 64 bits, relative norms."""
    given = _random(context)
    exact = {
        alibi: _pass(partial(_exact, alibi=alibi), [t.double() for t in given]) for alibi in (True, False)
    }
    for name, pair in arms(context).items():
        errors = [
            ((found - wanted).norm() / wanted.norm()).item()
            for alibi, attend in zip((True, False), pair, strict=True)
            for found, wanted in zip(_pass(attend, given), exact[alibi], strict=True)
        ]
        context.guard(
            f"attention_{name}",
            max(errors),
            LIMITS[given[0].dtype],
            "Output and gradients, with ALiBi and without.",
        )


def _pass(attend: Attend, given: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    given = [tensor.detach().requires_grad_() for tensor in given]
    out = attend(*given)
    weights = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out).to(out.dtype)
    return (out, *torch.autograd.grad(out, given, weights))


def _exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, alibi: bool) -> torch.Tensor:
    """By the definition, head by head: slope 2^(-8 i / heads), distance to each key before the query."""
    mixed = []
    for head in range(q.shape[1]):
        slope = 2.0 ** (-8.0 * (head + 1) / q.shape[1]) if alibi else 0.0
        scores = q[:, head] @ k[:, head].mT / math.sqrt(q.shape[-1])
        place = torch.arange(q.shape[2], device=q.device, dtype=q.dtype)
        scores = scores - slope * (place[:, None] - place)
        mixed.append(torch.softmax(scores.masked_fill(place[:, None] < place, -math.inf), -1) @ v[:, head])
    return torch.stack(mixed, dim=1)
