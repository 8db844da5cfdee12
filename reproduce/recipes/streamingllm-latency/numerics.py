"""Generation through the rolling cache against its definition: keys turned by their place in the cache."""

import torch

from reproduce.recipes.context import Context

from . import streaming

LIMIT = 1e-4
HEADS, SLOTS, SINKS, WIDTH, STEPS = 3, 24, 4, 16, 50  # the window rolls over twice


def check(context: Context) -> None:
    """Guards streaming_exact and memory_flat."""
    generator = torch.Generator(context.device).manual_seed(0)
    size = (1, HEADS, SLOTS + STEPS, WIDTH)
    q, k, v = (torch.randn(size, generator=generator, device=context.device) for _ in range(3))
    cache = streaming.Cache.filled(k[:, :, :SLOTS], v[:, :, :SLOTS], SINKS)
    before = _bytes(context, cache)
    out = [
        _step(cache, *(part[0, :, token : token + 1] for part in (q, k, v)))
        for token in range(SLOTS, size[2])
    ]
    grown = _bytes(context, cache) - before - sum(part.numel() * 4 for part in out)
    exact = [_exact(q, k, v, token) for token in range(SLOTS, size[2])]
    error = max(
        ((found - wanted).abs().max() / wanted.abs().max()).item()
        for found, wanted in zip(out, exact, strict=True)
    )
    context.guard(
        "streaming_exact", error, LIMIT, f"{STEPS} tokens through {SLOTS} slots, against 64 bits, relative."
    )
    context.guard(
        "memory_flat", max(0, grown), 512 * STEPS, "Bytes that the cache grew by; rounding is allowed."
    )


def _step(cache: streaming.Cache, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    turn = cache.begin()
    cache.put(0, streaming.rotate(k, turn), v)
    scores = streaming.rotate(q, turn) @ cache.keys[0].mT * WIDTH**-0.5
    out = torch.softmax(scores, dim=-1) @ cache.values[0]
    cache.end()
    return out


def _exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, token: int) -> torch.Tensor:
    """Sinks and latest tokens, keys turned by 0, 1, 2, ... in the cache, the query by the last of these."""
    latest = range(token - (SLOTS - SINKS) + 1, token + 1)
    kept = torch.tensor([*range(SINKS), *latest], device=q.device)
    places = torch.arange(SLOTS, device=q.device)
    keys = streaming.rotate(k[0, :, kept].double(), streaming.turns(places, WIDTH))
    query = streaming.rotate(q[0, :, token : token + 1].double(), streaming.turns(places[-1:], WIDTH))
    return torch.softmax(query @ keys.mT * WIDTH**-0.5, dim=-1) @ v[0, :, kept].double()


def _bytes(context: Context, cache: streaming.Cache) -> int:
    """Allocated on a GPU; of the cache's tensors on a CPU, plus what the results will take."""
    if context.device.type == "cuda":
        return torch.cuda.memory_allocated(context.device)
    held = (cache.keys, cache.values, cache.sinks)
    return sum(tensor.untyped_storage().nbytes() for tensor in held)
