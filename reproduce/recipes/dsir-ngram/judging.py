"""A small language model for each selection, all trained at once on as many bytes; judged on its target."""

from collections.abc import Sequence

import numpy as np
import torch

from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.fleet_learning import Windows, random_windows, train
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context

RATE = 4e-3
HEAD = 32  # width of an attention head


def losses(
    context: Context, selections: Sequence[np.ndarray], judges: Sequence[np.ndarray], seed: int
) -> np.ndarray:
    """(selections,) losses in nats a byte of a model of each; the last selection's, one for each judge.

    A selection is (documents, bytes), all of one size; models see windows at the same places of their own.
    Selection i is judged by `judges[i]`, beginning again when they run out; the last one by all of them.
    """
    length, batch, steps = context["length"], context["batch"], context["steps"]
    shape = Shape(2, context["width"], context["width"] // HEAD, length, positions="learned")
    content = torch.from_numpy(np.concatenate([part.ravel() for part in selections])).to(context.device)
    starts = random_windows(selections[0].size, steps, 1, batch, length, seed)
    offsets = torch.arange(len(selections))[:, None] * selections[0].size
    fleet = Fleet(shape, [seed] * len(selections), context.device)
    plan = Plan(steps=steps, rate=RATE, seed=seed, evaluations=1)
    train(fleet, Windows(content, starts + offsets, (length,)), plan, [RATE] * len(selections))
    tokens = torch.stack([_held_out(judge, length, context.device) for judge in judges])
    own = torch.arange(len(selections), device=context.device) % len(judges)
    found = torch.cat((fleet.evaluate(tokens[own])[:-1], fleet.copies(-1, len(judges)).evaluate(tokens)))
    return found.double().cpu().numpy()


def _held_out(documents: np.ndarray, length: int, device: torch.device) -> torch.Tensor:
    """(windows, length + 1) ids: as many windows as fit side by side into each document."""
    fit = documents.shape[1] // (length + 1)
    windows = documents[:, : fit * (length + 1)].reshape(-1, length + 1)
    return torch.from_numpy(windows).to(device).long()
