"""Requests that arrive at random: Poisson in time, lengths as in the paper's trace or with a heavy tail."""

from dataclasses import dataclass

import numpy as np

PROMPTS = (32, 512)  # tokens, uniform. Source: the paper's section 6.1, as RECIPES recalls it
OUTPUTS = (1, 128)  # tokens, uniform
TAIL = 1.5  # Pareto exponent of the heavy-tailed outputs, which have the same mean
LONGER = 4  # their cut, in longest outputs of the uniform ones


@dataclass(frozen=True)
class Request:
    """When it arrives (seconds), its prompt's length, and how many tokens it wants, which nobody knows."""

    number: int
    arrival: float
    prompt: int
    output: int


def trace(count: int, seed: int, heavy: bool = False, shrink: int = 1) -> list[Request]:
    """Requests that arrive at a mean rate of one a second; all lengths are divided by `shrink`."""
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1.0, count))
    prompts = random.integers(PROMPTS[0] // shrink, PROMPTS[1] // shrink, count, endpoint=True)
    most = OUTPUTS[1] // shrink
    outputs = random.integers(1, most, count, endpoint=True)
    if heavy:
        outputs = _heavy(random, count, (1 + most) / 2, most)
    return [
        Request(number, float(arrival), int(prompt), int(output))
        for number, (arrival, prompt, output) in enumerate(zip(arrivals, prompts, outputs, strict=True))
    ]


def _heavy(random: np.random.Generator, count: int, mean: float, most: int) -> np.ndarray:
    """Pareto lengths from 1 to some times the uniform's longest, scaled to the uniform's mean."""
    drawn, scale = 1 + random.pareto(TAIL, count), mean
    for _ in range(20):
        scale *= mean / np.clip(drawn * scale, 1, LONGER * most).mean()
    return np.clip(np.rint(drawn * scale), 1, LONGER * most).astype(int)


def at_rate(requests: list[Request], rate: float) -> list[Request]:
    """The same requests, arriving at `rate` a second."""
    return [Request(r.number, r.arrival / rate, r.prompt, r.output) for r in requests]
