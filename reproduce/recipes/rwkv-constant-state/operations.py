"""What an RWKV layer does beside matrix products, operation by operation; x is (batch, width)."""

import torch

from reproduce.recipes.blocks.decodestack import normed

from .wkv import State, advance, average


def mix(x: torch.Tensor, before: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Norms x and blends it with the token before, by each row of `shares`: (rows, batch, width).

    `before` becomes the normed x.
    """
    now = normed(x)
    mixed = torch.lerp(before, now, shares[:, None])
    before.copy_(now)
    return mixed


def attend(
    state: State, r: torch.Tensor, k: torch.Tensor, v: torch.Tensor, w: torch.Tensor, u: torch.Tensor
) -> torch.Tensor:
    """sigmoid(r) wkv; the state moves on in place."""
    k, v = k.float(), v.float()
    out = torch.sigmoid(r.float()) * average(state, k, v, u)
    advance(state, k, v, w)
    return out.to(r.dtype)


def squared(x: torch.Tensor) -> torch.Tensor:
    """max(x, 0) squared."""
    return torch.relu(x).square()


def add_gated(x: torch.Tensor, r: torch.Tensor, value: torch.Tensor) -> None:
    """Adds sigmoid(r) value to x in place."""
    x.addcmul_(torch.sigmoid(r), value)
