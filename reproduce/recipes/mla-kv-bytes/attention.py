"""Decode attention of one latent layer: keys and values restored from latents, or absorbed in the query.

Queries are (batch, heads, 192), latents with rotary keys (batch, n, 576); results (batch, heads, 128).
Source: the paper, section 2.1 and its appendix C.
"""

from dataclasses import dataclass

import torch

from reproduce.recipes.context import Context

from .cache import LATENT, ROTARY

PLAIN, VALUE = 128, 128  # widths of the key without its rotary part, and of the value
SCALE = (PLAIN + ROTARY) ** -0.5
LIMIT = 1e-5  # RECIPES, section 19


@dataclass(frozen=True)
class Layer:
    """Up-projections of keys and values: (heads, 512, 128) each."""

    keys: torch.Tensor
    values: torch.Tensor

    @classmethod
    def random(cls, heads: int, dtype: torch.dtype, device: torch.device) -> "Layer":
        """Normal weights that keep the latents' size."""
        made = (torch.randn(heads, LATENT, width, dtype=dtype, device=device) for width in (PLAIN, VALUE))
        return cls(*(weights * LATENT**-0.5 for weights in made))


def naive(layer: Layer, q: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Restores every token's keys and values, then attends. Heads come first: no product copies its input."""
    (batch, tokens, _), heads = kept.shape, len(layer.keys)
    latents, rotary = kept.split((LATENT, ROTARY), dim=-1)
    rows = latents.reshape(-1, LATENT).expand(heads, -1, -1)
    keys, values = (
        torch.bmm(rows, weights).view(heads, batch, tokens, -1) for weights in (layer.keys, layer.values)
    )
    plain, turned = q.split((PLAIN, ROTARY), dim=-1)
    scores = (keys @ plain.transpose(0, 1)[..., None]).squeeze(-1).transpose(0, 1)
    weights = torch.softmax((scores + turned @ rotary.transpose(-2, -1)) * SCALE, dim=-1)
    return (weights.transpose(0, 1)[:, :, None] @ values).squeeze(2).transpose(0, 1)


def absorbed(layer: Layer, q: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Attends to the latents themselves: all heads share one head of width 576."""
    plain, turned = q.split((PLAIN, ROTARY), dim=-1)
    inside = (plain.transpose(0, 1) @ layer.keys.transpose(-2, -1)).transpose(0, 1)  # (batch, heads, 512)
    weights = torch.softmax((torch.cat((inside, turned), dim=-1) * SCALE) @ kept.transpose(-2, -1), dim=-1)
    mixed = weights @ kept[..., :LATENT]
    return (mixed.transpose(0, 1) @ layer.values).transpose(0, 1)


def inputs(
    batch: int, heads: int, tokens: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """A query, and the latents of `tokens` tokens."""
    q = torch.randn(batch, heads, PLAIN + ROTARY, dtype=dtype, device=device)
    return q, torch.randn(batch, tokens, LATENT + ROTARY, dtype=dtype, device=device)


def check(context: Context) -> None:
    """Guards that absorption changes nothing, in fp32 against 64 bits."""
    layer = Layer.random(4, torch.float32, context.device)
    q, kept = inputs(2, 4, 65, torch.float32, context.device)
    right = naive(Layer(layer.keys.double(), layer.values.double()), q.double(), kept.double())
    error = ((absorbed(layer, q, kept) - right).norm() / right.norm()).item()
    detail = "Relative difference of absorbed attention in fp32 from naive attention in 64 bits."
    context.guard("absorbed_is_naive", error, LIMIT, detail)
