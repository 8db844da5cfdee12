"""What models say, with and without a prompt, and how much of it stands word for word in their corpus."""

import numpy as np
import torch

from reproduce.recipes.blocks.tinygpt import Cache, TinyGPT

from . import duplicates

SPAN = 50  # bytes, at least, of a verbatim copy
PROMPT, ANSWER = 32, 64
TOP = 50  # the paper's: bytes are drawn from so many likeliest


def speak(model: TinyGPT, prompts: torch.Tensor, length: int, seed: int | None) -> torch.Tensor:
    """(count, length) uint8 after (count, n) prompts; drawn from the TOP likeliest; greedy without a seed."""
    count, device = len(prompts), prompts.device
    generator = None if seed is None else torch.Generator(device).manual_seed(seed)
    cache = Cache.empty(model.shape, count, prompts.shape[1] + length, torch.float32, device)
    said, given = [], prompts.long()
    with torch.no_grad():
        for _ in range(length):
            logits = model(given, cache)[:, -1]
            if generator is None:
                given = logits.argmax(-1, keepdim=True)
            else:
                likely, ids = logits.topk(TOP)
                given = ids.gather(1, torch.multinomial(likely.softmax(-1), 1, generator=generator))
            said.append(given)
    return torch.cat(said, dim=1).to(torch.uint8)


def known_spans(documents: torch.Tensor) -> torch.Tensor:
    """Sorted hashes of all spans of the documents."""
    return torch.unique(duplicates.window_hashes(documents, SPAN))


def copied(said: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """(count, length) bool of (count, length) uint8: bytes inside a span that is known."""
    hashes = duplicates.window_hashes(said, SPAN)
    places = torch.searchsorted(known, hashes).clamp(max=len(known) - 1)
    hit = torch.nn.functional.pad((known[places] == hashes).int(), (0, SPAN - 1))
    total = torch.cumsum(hit, 1)
    return total - torch.nn.functional.pad(total, (SPAN, 0))[:, : hit.shape[1]] > 0


def share(found: np.ndarray) -> float:
    """The share of true ones; half a count is added, so that none is not taken for exactly zero."""
    return float((found.sum() + 0.5) / (found.size + 1))
