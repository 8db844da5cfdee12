"""Lengths of each training step, and a learning rate that follows tokens instead of steps."""

from dataclasses import dataclass, replace

from reproduce.recipes.blocks.learning import Plan


def constant(steps: int, full: int) -> tuple[int, ...]:
    """The baseline: every step at the full length."""
    return (full,) * steps


def warm_up(steps: int, full: int, shortest: int, share: float) -> tuple[int, ...]:
    """Lengths that rise in a line over `share` of the baseline's steps, then stay, for the same tokens.

    Lengths are multiples of the shortest. Source: arXiv:2108.06084, section 4.
    """
    rising = max(1, round(share * steps))
    lengths = [
        (shortest + (full - shortest) * step // rising) // shortest * shortest for step in range(rising)
    ]
    rest = round((steps * full - sum(lengths)) / full)
    return (*lengths, *([full] * rest))


@dataclass(frozen=True)
class ByTokens(Plan):
    """A plan whose rate at a step is that of a run at the full length after as many tokens."""

    lengths: tuple[int, ...] = ()

    def scale(self, step: int) -> float:
        """The rate's share of its peak at `step`."""
        full = max(self.lengths)
        whole = Plan(round(sum(self.lengths) / full), self.rate, warm_up=self.warm_up, floor=self.floor)
        return whole.scale(sum(self.lengths[:step]) / full)


def plan_of(lengths: tuple[int, ...], evaluations: int) -> ByTokens:
    """The plan that both arms share."""
    return replace(ByTokens(len(lengths), 0.0, evaluations=evaluations), lengths=lengths)
