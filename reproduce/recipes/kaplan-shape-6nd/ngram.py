"""The bar that models must pass: an interpolated Kneser-Ney model of bytes.

Source: Chen and Goodman, 1998, section 4.1; one discount for each order, from counts of one and two.
"""

import numpy as np


def cross_entropy(train: bytes, test: bytes, order: int) -> float:
    """Nats a byte of `test` after learning from `train`; every byte of `test` has a context."""
    learnt, judged = _grams(train, order), _grams(test, order)
    chance = np.full(len(judged), 1 / 256)
    for length in range(1, order + 1):
        grams = learnt & _mask(length)
        if length < order:  # counts of lower orders are of distinct bytes before
            grams = np.unique(learnt & _mask(length + 1)) & _mask(length)
        chance = _interpolated(grams, judged & _mask(length), chance)
    return float(-np.log(chance).mean())


def _interpolated(grams: np.ndarray, wanted: np.ndarray, lower: np.ndarray) -> np.ndarray:
    seen, counts = np.unique(grams, return_counts=True)
    contexts, first = np.unique(seen >> 8, return_index=True)
    totals, kinds = np.add.reduceat(counts, first), np.diff(first, append=len(seen))
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    discount = once / (once + 2 * twice) if once else 0.0
    own = np.maximum(_found(seen, counts, wanted) - discount, 0)
    total = _found(contexts, totals, wanted >> 8)
    spare = discount * _found(contexts, kinds, wanted >> 8)
    known = np.maximum(total, 1)
    return np.where(total > 0, (own + spare * lower) / known, lower)


def _found(keys: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The value of each wanted key, zero for those that are not there; keys are sorted."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], 0)


def _grams(text: bytes, order: int) -> np.ndarray:
    """Every `order` bytes in a row as one number, the last byte lowest."""
    content = np.frombuffer(text, np.uint8).astype(np.int64)
    count = len(content) - order + 1
    return sum(content[place : place + count] << 8 * (order - 1 - place) for place in range(order))


def _mask(length: int) -> int:
    return (1 << 8 * length) - 1
