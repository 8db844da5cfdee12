"""Guard: at the shapes of this recipe, greedy speculation says what the large model alone says."""

from dataclasses import replace

import torch

from reproduce.recipes.blocks.speculation import Loop, Shaped
from reproduce.recipes.context import Context

from .decoding import GAMMA, SHAPES

TOKENS, SEQUENCES = 12, 3


@torch.no_grad()
def same_tokens(context: Context) -> None:
    """Two layers of each model in 64-bit arithmetic, nothing forced. Guards same_tokens."""
    shapes = [replace(shape, layers=min(2, shape.layers)) for shape in SHAPES[context["shape"]]]
    capacity = 8 + TOKENS * (GAMMA + 1) + GAMMA + 3
    target, draft = (Shaped(shape, SEQUENCES, capacity, torch.float64, context.device) for shape in shapes)
    prompt = torch.randint(shapes[0].vocabulary, (SEQUENCES, 8), device=context.device)
    texts = []
    for way in ("step", "iterate"):
        history = torch.zeros(SEQUENCES, capacity, dtype=torch.long, device=context.device)
        history[:, :8] = prompt
        loop = Loop(target, draft, GAMMA, history, torch.full((SEQUENCES,), 8, device=context.device))
        loop.prefill()
        for _ in range(TOKENS):
            getattr(loop, way)()
        texts.append(history[:, 8 : 8 + TOKENS])
    context.guard(
        "same_tokens",
        int((texts[0] != texts[1]).sum()),
        0,
        f"Tokens that differ between both ways of decoding, {SEQUENCES} sequences of {TOKENS}.",
    )
