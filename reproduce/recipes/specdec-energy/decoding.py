"""Both ways of decoding at one batch, as work that the energy counter can watch: random weights."""

from dataclasses import dataclass

import torch

from reproduce.recipes.blocks.decodestack import Shape
from reproduce.recipes.blocks.decoding import capture
from reproduce.recipes.blocks.speculation import Loop, Shaped, tokens_per_iteration
from reproduce.recipes.context import Context
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import Work

GAMMA, ALPHA = 4, 0.7  # drafted tokens, and the chance that each is accepted. Source: RECIPES, section 57
CONTEXT = {"smoke": 8, "full": 256}  # tokens known before
CAPACITY = {"smoke": 32, "full": 384}
SHAPES = {
    "tiny": (
        Shape(2, 64, 2, 2, 32, 128, gated=True, vocabulary=256),
        Shape(1, 32, 1, 1, 32, 64, gated=True, vocabulary=256),
    ),
    # Llama 7B, and a model of 160 million parameters of the same kind.
    "llama-7b": (
        Shape(32, 4096, 32, 32, 128, 11_008, gated=True, vocabulary=32_000),
        Shape(12, 768, 12, 12, 64, 3072, gated=True, vocabulary=32_000),
    ),
}


@dataclass
class Arms:
    """A step of the large model alone, and an iteration of drafting and verifying, for a batch."""

    batch: int
    alone: Work
    speculative: Work
    loop: Loop

    @property
    def tokens(self) -> float:
        """Tokens that an iteration makes for each sequence, as accepted so far; the formula's before that."""
        if not self.loop.iterations:
            return tokens_per_iteration(ALPHA, GAMMA)
        return 1 + self.loop.accepted.item() / self.loop.iterations.item()


def models(context: Context) -> tuple[Shaped, Shaped]:
    """Target and draft with room for one sequence."""
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    target, draft = SHAPES[context["shape"]]
    capacity = CAPACITY[context.preset]
    return tuple(Shaped(shape, 1, capacity, dtype, context.device) for shape in (target, draft))


def arms(context: Context, pair: tuple[Shaped, Shaped], batch: int) -> Arms:
    """Both arms share weights and caches."""
    capacity = CAPACITY[context.preset]
    target, draft = (model.roomier(batch, capacity) for model in pair)
    history = torch.randint(target.shape.vocabulary, (batch, capacity), device=context.device)
    filled = torch.full((batch,), CONTEXT[context.preset], device=context.device)
    alone = Loop(target, draft, GAMMA, history, filled.clone())
    loop = Loop(target, draft, GAMMA, history, filled, oracle=ALPHA)
    made = Arms(batch, capture(alone.step, context.device), capture(loop.iterate, context.device), loop)
    loop.restart()
    return made


def least_seconds(context: Context, ceilings: Probe, batch: int) -> tuple[float, float]:
    """Seconds a token under which a step and an iteration cannot be done, by their bytes and FLOP."""
    target, draft = SHAPES[context["shape"]]
    known, itemsize = CONTEXT[context.preset], 2 if context.device.type == "cuda" else 4
    flop, moved = target.step_flop(batch, known), target.step_bytes(batch, known, itemsize)
    drafted = GAMMA * ceilings.least_time(
        draft.step_flop(batch, known), draft.step_bytes(batch, known, itemsize)
    )
    verified = ceilings.least_time((GAMMA + 1) * flop, moved)
    iteration = (drafted + verified) / tokens_per_iteration(ALPHA, GAMMA)
    return ceilings.least_time(flop, moved) / batch, iteration / batch
