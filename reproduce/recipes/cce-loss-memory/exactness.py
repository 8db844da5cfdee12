"""Loss and gradients against 64-bit arithmetic, on fewer tokens and words than are timed."""

import torch
from torch.nn import functional

from reproduce.recipes.context import Context

from . import cut
from .cost import Problem

TOKENS, WORDS = 4096, 32_000  # at most
LOSS_LIMIT = 1e-5
COSINE_LIMIT = 1e-4  # one minus the cosine


def check(context: Context) -> None:
    """Guards the cut loss and the directions of both of its gradients, and their lengths."""
    tokens, words = min(TOKENS, context["tokens"]), min(WORDS, context["vocabulary"])
    problem = Problem.random(tokens, context["width"], words, context.device)
    value, found = _with_gradients(problem, lambda e, c, labels: cut.loss(e, c, labels, context["block"]))
    exact, expected = _with_gradients(
        problem.in_double(), lambda e, c, labels: functional.cross_entropy(e @ c.t(), labels)
    )
    context.guard(
        "loss",
        abs(value - exact) / exact,
        LOSS_LIMIT,
        f"Relative error of the cut loss against {exact:.6f} nats in 64 bits.",
    )
    for name, a, b in zip(("features", "weights"), found, expected, strict=True):
        cosine = functional.cosine_similarity(a.double().flatten(), b.flatten(), dim=0)
        context.guard(
            f"gradient_of_{name}",
            1 - cosine.item(),
            COSINE_LIMIT,
            "One minus the cosine with 64 bits' gradient.",
        )
        context.guard(
            f"length_of_{name}",
            abs(1 - (a.double().norm() / b.norm()).item()),
            1e-2,
            "Relative error of the gradient's length.",
        )


def _with_gradients(problem: Problem, loss: object) -> tuple[float, tuple[torch.Tensor, ...]]:
    value = loss(problem.e, problem.c, problem.labels)
    return value.item(), torch.autograd.grad(value, (problem.e, problem.c))
