"""A teacher labels Gaussian inputs; a student of largest margin learns from those that pruning kept.

The student is the paper's: through the origin, hard margin, so the answer is unique whatever the solver.
"""

import math
from dataclasses import dataclass

import torch

SURE = 1e-6  # of a margin of one: nearer than this counts as satisfied
WAYS = ("random", "hard", "easy")


@dataclass(frozen=True)
class Student:
    """The weights (N,) whose smallest margin on the kept inputs is one, and how exact they are."""

    weights: torch.Tensor
    gap: float  # between primal and dual objective, relative: an upper bound of the error
    violation: float  # of the margin, at most

    def error(self, teacher: torch.Tensor) -> float:
        """Test error: the angle to the teacher over pi. Source: arXiv:2206.14486, section 3."""
        cosine = self.weights @ teacher / (self.weights.norm() * teacher.norm())
        return math.acos(min(1.0, max(-1.0, float(cosine)))) / math.pi


def examples(size: int, alpha: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (alpha size, size), each multiplied by its label, and the teacher (size,); in float64."""
    random = torch.Generator().manual_seed(seed)
    teacher = torch.randn(size, generator=random, dtype=torch.float64)
    inputs = torch.randn(round(alpha * size), size, generator=random, dtype=torch.float64)
    return inputs * (inputs @ teacher).sign()[:, None], teacher / teacher.norm()


def pruned(signed: torch.Tensor, teacher: torch.Tensor, way: str, share: float) -> torch.Tensor:
    """The kept share of the inputs: those of smallest teacher margin ("hard"), of largest, or any."""
    kept = max(1, round(share * len(signed)))
    if way == "random":
        return signed[:kept]
    order = (signed @ teacher).argsort()
    return signed[order[:kept] if way == "hard" else order[-kept:]]


def largest_margin(signed: torch.Tensor, start: torch.Tensor, subset: Student | None = None) -> Student:
    """Minimises |w|^2 / 2 with every margin at least one; `start` (N,) only chooses what is looked at first.

    The multiplier method on a working set, to which violated inputs are added until there are none.
    `subset` learnt from some of the inputs: if it satisfies all of them, nothing shorter does.
    """
    size = signed.shape[1]
    signed = signed / math.sqrt(size)
    if subset is not None and float((signed @ subset.weights).min()) >= 1 - SURE:
        return subset
    first = (signed @ start).argsort()[: 2 * size]
    working, duals = first, torch.zeros(len(first), dtype=torch.float64)
    weights = start * math.sqrt(size)
    while True:
        weights, duals = _solve(signed[working], weights, duals)
        margins = signed @ weights
        margins[working] = math.inf
        broken = (margins < 1 - SURE).nonzero()[:, 0]
        if not len(broken):
            break
        worst = broken[margins[broken].argsort()[:size]]
        working, duals = torch.cat((working, worst)), torch.cat((duals, duals.new_zeros(len(worst))))
    dual = float(duals.sum() - (duals @ signed[working]).square().sum() / 2)
    scaled = weights / min(1.0, float((signed @ weights).min()))
    primal = float(scaled.square().sum() / 2)
    return Student(weights, (primal - dual) / primal, max(0.0, 1 - float((signed @ weights).min())))


def _solve(
    rows: torch.Tensor, weights: torch.Tensor, duals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and duals for a few rows: an augmented Lagrangian, each step of it by Newton's method."""
    stiffness = 10.0
    for _ in range(60):
        weights = _newton(rows, weights, duals, stiffness)
        violated = 1 - rows @ weights
        before, duals = duals, (duals + stiffness * violated).clamp(min=0)
        moved = float((duals - before).abs().max() / duals.max().clamp(min=1e-30))
        if violated.max() < SURE and moved < SURE:
            break
        stiffness = min(stiffness * 10, 1e6)
    return weights, duals


def _newton(rows: torch.Tensor, weights: torch.Tensor, duals: torch.Tensor, stiffness: float) -> torch.Tensor:
    """Minimises |w|^2 / 2 + stiffness / 2 sum max(0, 1 + dual / stiffness - row w)^2, exactly."""
    target, unit = 1 + duals / stiffness, torch.eye(len(weights), dtype=torch.float64)
    before = None
    for _ in range(100):
        active = rows @ weights < target
        if before is not None and bool((active == before).all()):
            break
        before, some = active, rows[active]
        factor = torch.linalg.cholesky(torch.addmm(unit, some.T, some, alpha=stiffness))
        aim = torch.cholesky_solve(stiffness * (some.T @ target[active])[:, None], factor)[:, 0]
        weights = _along(rows, weights, aim, target, stiffness)
    return weights


def _along(
    rows: torch.Tensor, start: torch.Tensor, aim: torch.Tensor, target: torch.Tensor, stiffness: float
) -> torch.Tensor:
    """The lowest point on the way to `aim`, where the slope, which rises in straight pieces, is zero.

    The slope after a share s of the way is lean + s own - stiffness sum max(0, at - s step) step.
    """
    way = aim - start
    at, step = target - rows @ start, rows @ way
    lean, own = way @ start, way @ way
    if lean + own - stiffness * ((at - step).clamp(min=0) @ step) <= 0 or own < 1e-24:
        return aim
    crossing = at / step
    crossing, order = crossing[(crossing > 0) & (crossing < 1)].sort()
    inside = ((at / step > 0) & (at / step < 1)).nonzero()[order, 0]
    parts = torch.stack((at * step, step * step))
    change = torch.where(step[inside] > 0, -parts[:, inside], parts[:, inside])  # a row leaves, or joins
    pull, bend = torch.cat((parts[:, at > 0].sum(1, keepdim=True), change), dim=1).cumsum(1)
    slopes = lean - stiffness * pull[:-1] + crossing * (own + stiffness * bend[:-1])
    piece = int((slopes < 0).sum())  # the first piece at whose end the slope is no longer negative
    return start + (stiffness * pull[piece] - lean) / (own + stiffness * bend[piece]) * way
