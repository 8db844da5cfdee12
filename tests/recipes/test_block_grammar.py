"""The synthetic language: endless, repeatable, Zipf, grammatical, and with the repeats that it promises."""

import time

import numpy as np
import pytest

from reproduce.recipes.blocks import grammar
from reproduce.recipes.blocks.grammar import Grammar


@pytest.fixture(scope="module")
def language():
    return Grammar(seed=3, words=4098)


@pytest.fixture(scope="module")
def ids(language):
    return language._ids(np.random.default_rng(0))


def test_text_is_repeatable_and_longer_text_begins_alike(language):
    short, long = language.text(1000, seed=1), language.text(9_000_000, seed=1)
    assert short.dtype == np.uint8
    assert len(long) == 9_000_000
    assert (long[:1000] == short).all()
    assert (language.text(1000, seed=2) != short).any()
    assert (Grammar(seed=4, words=4098).text(1000, seed=1) != short).any()


def test_text_spells_words_of_the_vocabulary(language):
    letters, starts, lengths = language._spelling
    words = {bytes(letters[a : a + n]).strip() for a, n in zip(starts, lengths, strict=True)}
    assert len(words) == language.words
    seen = bytes(language.text(50_000, seed=7)).split()[:-1]
    assert set(seen) <= words
    assert lengths[2:50].mean() < lengths[-50:].mean()


def test_frequencies_within_a_class_follow_zipf(language, ids):
    kind = grammar.CLASSES - 1  # a class that no topic permutes
    counts = np.bincount(ids, minlength=language.words)[2 + kind :: grammar.CLASSES]
    ranks = np.arange(1, 65)
    exponent = -np.polyfit(np.log(ranks), np.log(counts[:64]), 1)[0]
    assert exponent == pytest.approx(grammar.ZIPF, abs=0.1)


def test_sentences_are_as_the_grammar_makes_them(language, monkeypatch):
    monkeypatch.setattr(Grammar, "_repeat", lambda self, blocks, random: blocks)
    plain = language._ids(np.random.default_rng(0))
    lengths = np.diff(np.flatnonzero(plain == grammar.END))
    assert lengths.min() >= 2**grammar.LEVELS
    assert lengths.max() <= grammar.BRANCHES**grammar.LEVELS
    pairs = np.zeros((grammar.CLASSES,) * 2, int)
    kinds = (plain - 2) % grammar.CLASSES
    np.add.at(pairs, (kinds[:-1], kinds[1:]), plain[1:] > 1)
    shares = pairs / pairs.sum()
    apart = shares.sum(1)[:, None] * shares.sum(0)
    gain = (shares * np.log(np.where(shares > 0, shares, 1) / np.where(apart > 0, apart, 1))).sum()
    assert gain > 0.05  # nats that a word's class tells of the next


def test_second_halves_copy_and_recall(ids):
    blocks = ids.reshape(-1, grammar.BLOCK)[:2000]
    first, second = blocks[:, : grammar.HALF], blocks[:, grammar.HALF :]
    recalled = copied = 0
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        pairs = [tuple(half[i + 1 : i + 3]) for half in (a, b) for i in range(61) if half[i] == grammar.MARK]
        recalled += len(pairs) >= 2 and pairs[0] == pairs[-1]
        spans = {tuple(a[i : i + 3]) for i in range(62)}
        copied += any(tuple(b[i : i + 3]) in spans for i in range(62) if grammar.MARK not in b[i : i + 3])
    assert recalled / len(blocks) > 0.35
    assert copied / len(blocks) > 0.35


def test_text_is_made_fast(language):
    language.text(10, seed=0)
    begun = time.process_time()
    language.text(5_000_000, seed=5)
    assert time.process_time() - begun < 1.0
