"""WKV, the weighted average of values that replaces attention; keys and values are (batch, n, width).

wkv_t = (sum over i < t of e^(k_i - (t-1-i) w) v_i + e^(u + k_t) v_t) / (the same without v), the paper's
equation 16. A state is (numerator, denominator, exponent that scales both), each (batch, width), fp32.
"""

import torch

State = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
NOTHING = -1e30  # the exponent of an empty sum; finite, so that no gradient is lost


def empty(batch: int, width: int, dtype: torch.dtype, device: torch.device) -> State:
    """The state before the first token."""
    zero = torch.zeros(batch, width, dtype=dtype, device=device)
    return zero, zero.clone(), torch.full_like(zero, NOTHING)


def exact(k: torch.Tensor, v: torch.Tensor, w: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The formula as it stands, an n x n matrix for each channel; for 64-bit references."""
    n = k.shape[1]
    at = torch.arange(n, device=k.device, dtype=k.dtype)
    back = (at[:, None] - 1 - at)[..., None]
    exponent = torch.where(back >= 0, -back * w, torch.where(back == -1, u, -torch.inf))
    weights = torch.exp(exponent + k[:, None])  # (batch, t, i, width)
    return (weights * v[:, None]).sum(2) / weights.sum(2)


def scan(
    k: torch.Tensor, v: torch.Tensor, w: torch.Tensor, u: torch.Tensor, state: State
) -> tuple[torch.Tensor, State]:
    """All tokens in log2(n) passes, each joining sums twice as long; no exponent ever overflows."""
    kept = (v, torch.ones_like(v), k)
    top, bottom, peak = (torch.cat((old[:, None], new), dim=1) for old, new in zip(state, kept, strict=True))
    reach = 1
    while reach < top.shape[1]:
        early = peak[:, :-reach] - reach * w
        late = peak[:, reach:]
        higher = torch.maximum(early, late)
        shrink_early, shrink_late = torch.exp(early - higher), torch.exp(late - higher)
        joined = [
            torch.cat((x[:, :reach], shrink_early * x[:, :-reach] + shrink_late * x[:, reach:]), dim=1)
            for x in (top, bottom)
        ]
        top, bottom = joined
        peak = torch.cat((peak[:, :reach], higher), dim=1)
        reach *= 2
    before = (top[:, :-1], bottom[:, :-1], peak[:, :-1])
    return average(before, k, v, u), (top[:, -1], bottom[:, -1], peak[:, -1])


def average(before: State, k: torch.Tensor, v: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """WKV of a token, from the state before it and its own key and value."""
    top, bottom, peak = before
    higher = torch.maximum(peak, u + k)
    old, own = torch.exp(peak - higher), torch.exp(u + k - higher)
    return (old * top + own * v) / (old * bottom + own)


def advance(state: State, k: torch.Tensor, v: torch.Tensor, w: torch.Tensor) -> None:
    """The state after a token, in place."""
    top, bottom, peak = state
    higher = torch.maximum(peak - w, k)
    old, own = torch.exp(peak - w - higher), torch.exp(k - higher)
    top.mul_(old).addcmul_(own, v)
    bottom.mul_(old).add_(own)
    peak.copy_(higher)
