"""Sequence lengths over training: constant, or rising from short windows to the full context.

Source: arXiv:2108.06084, section 4: windows of the constant schedule are cut to the step's length.
"""

from dataclasses import dataclass

SHORTEST = 64
GRAIN = 128  # lengths are multiples of it after the shortest, so that there are few of them
RISE = 0.3  # of the steps


@dataclass(frozen=True)
class Lengths:
    """The length of each step; `tokens(n)` is how many each sequence of a batch has given after n steps."""

    each: tuple[int, ...]

    def tokens(self, steps: int) -> int:
        """Tokens of one sequence a step, summed over the first `steps` steps."""
        return sum(self.each[:steps])


def constant(full: int, steps: int) -> Lengths:
    """The full context in all steps."""
    return Lengths((full,) * steps)


def rising(full: int, tokens: int) -> Lengths:
    """As many steps as it takes to see `tokens`, give or take half a step, if the first of them are short."""
    steps = tokens // full
    while sum(_rising(full, steps)) + full / 2 < tokens:
        steps += 1
    return Lengths(tuple(_rising(full, steps)))


def _rising(full: int, steps: int) -> list[int]:
    last = max(1, round(RISE * steps))
    grain, shortest = min(GRAIN, full // 4), min(SHORTEST, full // 8)
    found = []
    for step in range(steps):
        length = shortest + (full - shortest) * step / last
        found.append(min(full, max(shortest, int(length // grain) * grain)))
    return found
