"""DSIR: hashed n-grams are those of the words, resampling follows the weights, guards see mistakes."""

import re
from itertools import pairwise

import numpy as np
import pytest

from tests.recipes.conftest import context_of, failed, part

SLUG = "dsir-ngram"
selection, run, domains = (part(SLUG, name) for name in ("selection", "run", "domains"))


def documents(*texts):
    length = max(map(len, texts))
    return np.stack([np.frombuffer(text.ljust(length).encode(), np.uint8) for text in texts])


def test_features_are_the_words_and_pairs_of_words_of_each_document():
    texts = ["the cat, the dog", "x_1 = the\ncat ", "dog the cat"]
    found = selection.features(documents(*texts))
    per_document = [found.buckets[found.rows == row] for row in range(3)]
    for text, buckets in zip(texts, per_document, strict=True):
        words = re.findall(r"\w+|[^\w\s]", text)
        assert len(buckets) == 2 * len(words) - 1
        grams = words + list(pairwise(words))
        assert len(set(buckets.tolist())) == len(set(grams))
    shared = set(per_document[0]) & set(per_document[1])
    assert len(shared) == 3  # the, cat, the cat; wherever they stand
    assert set(per_document[2]) - set(per_document[0]) == {
        b for b in per_document[2][3:] if b not in per_document[0]
    }


def test_weights_are_the_log_ratio_of_probabilities():
    pool = selection.features(documents("a b a", "c d c", "a d"))
    wanted = selection.features(documents("a b a b"))
    weights = selection.log_weights(pool, wanted.total)
    p, q = selection.distribution(wanted.total), selection.distribution(pool.total)
    for row in range(3):
        own = pool.buckets[pool.rows == row]
        assert weights[row] == pytest.approx(np.log(np.prod(p[own]) / np.prod(q[own])))
    assert weights[0] > weights[2] > weights[1]


def test_gumbel_resampling_draws_as_often_as_the_weights_say():
    weights = np.log([0.1, 0.2, 0.3, 0.4])
    draws = [selection.resample(weights, 1, seed)[0] for seed in range(3000)]
    assert np.bincount(draws) / 3000 == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.03)


def test_correlation_is_pearsons():
    x = np.array([[0.0, 1.0, 2.0, 3.0], [0.5, 1.5, 2.5, 3.5]])
    assert run.correlation(x, -2 * x).value == pytest.approx(-1)
    noisy = x + np.array([[1.0, -1.0, 1.0, -1.0]] * 2)
    assert run.correlation(x, noisy).value == pytest.approx(np.corrcoef(x.ravel(), noisy.ravel())[0, 1])


def test_mistakes_in_the_selection_fail_the_guards(monkeypatch):
    context = context_of(SLUG, targets=4, documents=8)
    pool = run._collect(context)
    weights = [selection.log_weights(pool.features, wanted.total) for wanted in pool.wanted]
    run._guard(context, run._select(context, pool, weights), weights)
    assert failed(context) == set()

    draw = np.random.default_rng(1)

    def with_replacement(weights, count, seed):
        return np.resize(draw.choice(len(weights), max(1, count // 2), replace=False), count)

    monkeypatch.setattr(selection, "resample", with_replacement)
    chosen = run._select(context, pool, weights)
    monkeypatch.setattr(selection, "PSEUDO", 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        unsmoothed = [selection.log_weights(pool.features, wanted.total) for wanted in pool.wanted]
    broken = context_of(SLUG, targets=4, documents=8)
    run._guard(broken, chosen, [weights[0], *unsmoothed[1:]])
    assert {"no_duplicates", "finite_weights", "repeatable"} <= failed(broken)
