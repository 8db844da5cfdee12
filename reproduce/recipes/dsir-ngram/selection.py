"""DSIR: hashed n-gram features, importance weights, resampling by Gumbel noise; and a classifier to compare.

Source: arXiv:2302.03169, section 3 and its heuristic-classification baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

BUCKETS = 10_000
PSEUDO = 0.1  # count added to each bucket, so that no weight is infinite
BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2^64
MIX = 0xD6E8FEB86659FD93
EPOCHS, RATE = 60, 0.05  # of the classifier


@dataclass(frozen=True)
class Features:
    """Hashed unigrams and bigrams of documents: entry i is one in document `rows[i]`, bucket `buckets[i]`."""

    rows: np.ndarray
    buckets: np.ndarray
    count: int

    @property
    def total(self) -> np.ndarray:
        """(BUCKETS,) how often each bucket occurs in all documents."""
        return np.bincount(self.buckets, minlength=BUCKETS).astype(float)

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """(count,) sum over each document's n-grams of `weights` (BUCKETS,)."""
        return np.bincount(self.rows, weights[self.buckets], minlength=self.count)

    def part(self, chosen: np.ndarray) -> np.ndarray:
        """(BUCKETS,) how often each bucket occurs in the chosen documents."""
        inside = np.zeros(self.count, bool)
        inside[chosen] = True
        return np.bincount(self.buckets[inside[self.rows]], minlength=BUCKETS).astype(float)


def features(documents: np.ndarray) -> Features:
    """Of (count, length) bytes. Words are runs of letters, digits, underscores; other signs stand alone."""
    text, length = documents.ravel(), documents.shape[1]
    word = _WORD[text]
    begins = ~_SPACE[text]
    begins[1:] &= ~(word[1:] & word[:-1])
    begins[::length] = ~_SPACE[text[::length]]
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(text))
    with np.errstate(over="ignore"):
        powers = _powers(len(text), BASE)
        sums = np.append(np.uint64(0), np.cumsum((text.astype(np.uint64) + 1) * ~_SPACE[text] * powers))
        back = _powers(len(text), pow(BASE, -1, 1 << 64))[starts]
        words = (sums[ends] - sums[starts]) * back
        pairs = (words[:-1] * np.uint64(BASE)) ^ (words[1:] * np.uint64(MIX))
    rows = starts // length
    same = rows[1:] == rows[:-1]
    return Features(
        np.concatenate((rows, rows[1:][same])), _bucket(np.concatenate((words, pairs[same]))), len(documents)
    )


def log_weights(pool: Features, wanted: np.ndarray) -> np.ndarray:
    """(count,) log p(document) / q(document): `wanted` (BUCKETS,) counts make p, the pool q."""
    return pool.sums(np.log(distribution(wanted)) - np.log(distribution(pool.total)))


def resample(weights: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` documents without replacement, likely as their log weights say: the Gumbel top-k trick."""
    noise = np.random.default_rng(seed).gumbel(size=len(weights))
    return np.argsort(-(weights + noise))[:count]


def distribution(counts: np.ndarray) -> np.ndarray:
    """(BUCKETS,) shares, none of them zero."""
    return (counts + PSEUDO) / (counts + PSEUDO).sum()


def divergence(wanted: np.ndarray, given: np.ndarray) -> float:
    """KL divergence in nats of the `given` counts from the `wanted` ones."""
    p, q = distribution(wanted), distribution(given)
    return float((p * np.log(p / q)).sum())


def classified(pool: Features, wanted: Sequence[Features], count: int) -> list[np.ndarray]:
    """For each of `wanted` the `count` documents that a logistic regression finds likeliest to be wanted.

    All targets learn at once; to each the pool is what is not wanted, and other targets' examples are unseen.
    """
    parts = [pool, *wanted]
    starts = np.cumsum([0] + [part.count for part in parts])
    rows = np.concatenate([part.rows + start for part, start in zip(parts, starts[:-1], strict=True)])
    values = torch.full((len(rows),), starts[-1] / len(rows))  # one on average a document
    entries = torch.as_tensor(np.stack((rows, np.concatenate([part.buckets for part in parts]))))
    size = (int(starts[-1]), BUCKETS)
    inputs = torch.sparse_coo_tensor(entries, values, size, check_invariants=False).coalesce()
    inputs, across = inputs.to_sparse_csr(), inputs.t().to_sparse_csr()
    labels, importance = torch.zeros(size[0], len(wanted)), torch.zeros(size[0], len(wanted))
    importance[: pool.count] = 1 / pool.count
    for target, (begin, end) in enumerate(pairwise(starts[1:].tolist())):
        labels[begin:end, target] = 1
        importance[begin:end, target] = 1 / (end - begin)
    weights, bias = torch.zeros(BUCKETS, len(wanted)), torch.zeros(len(wanted))
    optimizer = torch.optim.Adam([weights, bias], lr=RATE)
    for _ in range(EPOCHS):
        scores = inputs @ weights + bias
        error = importance * (scores.sigmoid() - labels)
        weights.grad, bias.grad = across @ error, error.sum(0)
        optimizer.step()
    return list(scores[: pool.count].topk(count, dim=0).indices.T.numpy())


def _table(signs: bytes) -> np.ndarray:
    found = np.zeros(256, bool)
    found[list(signs)] = True
    return found


_SPACE = _table(b" \t\r\n\f\v\0")
_WORD = _table(bytes(i for i in range(256) if i > 127 or chr(i).isalnum() or chr(i) == "_"))


def _powers(count: int, base: int) -> np.ndarray:
    """(count,) base^0, base^1, ... modulo 2^64."""
    steps = np.full(count, base, np.uint64)
    steps[:1] = 1
    return np.cumprod(steps)


def _bucket(hashes: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        mixed = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(MIX)
    return ((mixed >> np.uint64(32)) % np.uint64(BUCKETS)).astype(np.int64)
