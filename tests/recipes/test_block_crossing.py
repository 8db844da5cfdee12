"""Where curves cross: interpolated between lengths, at an end if they do not."""

import pytest

from reproduce.recipes.blocks.crossing import crossing, crossover
from reproduce.recipes.intervals import Interval


def test_a_crossing_is_interpolated_between_lengths():
    assert crossing([1024, 2048, 4096], [0.5, 0.5, 2.0]) == pytest.approx(2048 * 2**0.5)
    assert crossing([1024, 2048, 4096], [1.5, 0.5, 2.0]) == pytest.approx(2048 * 2**0.5)


def test_without_a_crossing_it_is_an_end():
    assert crossing([1024, 2048], [0.5, 0.9]) == 2048
    assert crossing([1024, 2048], [1.5, 1.9]) == 1024


def test_the_interval_holds_the_crossings_of_the_bounds():
    gains = [Interval(0.5, 0.4, 0.6, 30), Interval(2.0, 1.9, 2.1, 30)]
    found = crossover([1000, 2000], gains)
    assert found.low < found.value < found.high
    assert found.high == pytest.approx(crossing([1000, 2000], [0.4, 1.9]))
