"""Invented words with English shapes, by Zipf: what titles, abstracts, names and venues are made of."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

CORPUS = Path(__file__).resolve().parents[2] / "papers" / "corpus"
STEMS, SURNAMES, GIVEN_NAMES, VENUES = 200_000, 60_000, 3_000, 500
FORMS = ("", "s", "ing", "ed")
FORM_SHARES = (0.55, 0.20, 0.15, 0.10)
STOP_SHARE = 0.35  # of the words of an abstract; PostgreSQL, for one, drops them
STOP_WORDS = np.array(
    "the of and a in to is we for that with on as by this are our which from be an it can at "  # noqa: SIM905
    "than these has have or not was its been both but into more such their they when where while".split(),
    dtype=object,
)
ONSETS = [*"bcdfghlmnprstvw", *"bcdglmnprst", "br", "ch", "cl", "cr", "fl", "gr", "pl", "pr", "qu", "sh"]
ONSETS += ["sp", "st", "str", "th", "tr"]
VOWELS = [*"aeiouaeiou", "ai", "ea", "ee", "io", "ou"]
CODAS = [*[""] * 12, "l", "m", "n", "r", "s", "t", "ct", "nd", "nt", "rm", "st"]
PARTICLES = ("van der ", "de ", "von ", "le ")


def invented(count, seed, syllables=(2, 5)):
    """So many different words, drawn in bulk."""
    rng, found = np.random.default_rng(seed), {}
    bits = [np.array(each, dtype=object) for each in (ONSETS, VOWELS, CODAS)]
    while len(found) < count:
        size = rng.integers(*syllables)
        drawn = [bit[rng.integers(0, len(bit), (4096, size))] for bit in bits]
        for row in zip(*(each.tolist() for each in drawn), strict=True):
            found["".join("".join(part) for part in zip(*row, strict=True))] = None
    return list(found)[:count]


@cache
def real_words():
    """The words of the real corpus' titles, most frequent first, without short ones."""
    titles = re.findall(r"^  title = \{(.*)\},$", "\n".join(map(Path.read_text, CORPUS.glob("*.bib"))), re.M)
    counted = Counter(word for title in titles for word in re.findall(r"[a-z]{4,}", title.lower()))
    stop = {*STOP_WORDS.tolist(), "with", "from", "that", "this", "your"}
    return [word for word, _ in counted.most_common() if word not in stop]


def zipf(count, exponent=1.2, shift=40.0):
    """The cumulative shares of `count` ranks by Zipf and Mandelbrot, for draw().

    As it stands, the commonest word is in about a third of the abstracts, as "model" is in real ones.
    """
    shares = 1 / (np.arange(1, count + 1) + shift) ** exponent
    return np.cumsum(shares / shares.sum())


def draw(cumulative, size, rng):
    """Ranks, drawn by their shares."""
    return np.minimum(np.searchsorted(cumulative, rng.random(size)), len(cumulative) - 1)


class Vocabulary:
    """Words by rank, the invented ones in four forms; every third of the frequent is a word of the field."""

    def __init__(self):
        real = real_words()
        known = set(real)
        made = invented(STEMS - len(real), 1, (2, 4))
        stems = [word for n, pair in enumerate(real) for word in (pair, *made[2 * n : 2 * n + 2])]
        stems = list(dict.fromkeys(stems + made[2 * len(real) :]))
        forms = [stem if stem in known else stem + form for stem in stems for form in FORMS]
        self.plain = np.array(forms, dtype=object)
        self.capital = np.array([form.capitalize() for form in forms], dtype=object)
        self.shares = zipf(len(stems))

    def ranks(self, size, rng):
        forms = np.searchsorted(np.cumsum(FORM_SHARES), rng.random(size))
        return draw(self.shares, size, rng) * len(FORMS) + np.minimum(forms, len(FORMS) - 1)

    def titles(self, count, rng):
        """About ten words each."""
        lengths = rng.integers(6, 15, count).tolist()
        rows = self.capital[self.ranks((count, 14), rng)].tolist()
        return [" ".join(row[:length]) for row, length in zip(rows, lengths, strict=True)]

    def abstracts(self, count, rng):
        """Three to nine sentences of twenty words each, stop words among them; one in twenty has none."""
        sentences = np.where(rng.random(count) < 0.05, 0, rng.integers(3, 10, count))
        total = int(sentences.sum())
        words = self.plain[self.ranks((total, 20), rng)]
        stops = rng.random((total, 20)) < STOP_SHARE
        words[stops] = STOP_WORDS[draw(zipf(len(STOP_WORDS), 1.0, 1.0), int(stops.sum()), rng)]
        lines = [" ".join(row) for row in words.tolist()]
        ends = np.cumsum(sentences).tolist()
        return [
            ". ".join(lines[end - size : end]) + ("." if size else "")
            for end, size in zip(ends, sentences.tolist(), strict=True)
        ]


class Names:
    """People, some with particles, and venues."""

    def __init__(self):
        surnames = [name.capitalize() for name in invented(SURNAMES, 2, (1, 4))]
        self.surnames = np.array(
            [PARTICLES[n % 4] + name if n % 40 == 7 else name for n, name in enumerate(surnames)],
            dtype=object,
        )
        self.given = np.array([name.capitalize() for name in invented(GIVEN_NAMES, 3, (1, 4))])
        self.shares = [zipf(SURNAMES, 0.8, 10), zipf(GIVEN_NAMES, 0.9, 10)]
        made = invented(VENUES, 4)
        heads = ("Journal of {} Research", "Conference on {}", "Transactions on {}", "Workshop on {}")
        self.venues = ["NeurIPS", "ICML", "ICLR", "ACL", "EMNLP", "AAAI", "NAACL", "MLSys", "TMLR", "COLM"]
        self.venues += [heads[n % 4].format(word.capitalize()) for n, word in enumerate(made)]
        self.venues = np.array(self.venues[:VENUES], dtype=object)
        self.venue_shares = zipf(VENUES, 1.0, 1.0)

    def authors(self, count, rng):
        """ "Last, First and Last, First", and each first surname: 5.5 people on average, 60 at most."""
        sizes = np.minimum(1 + rng.negative_binomial(1.8, 0.285, count), 60)
        total, ends = int(sizes.sum()), np.cumsum(sizes).tolist()
        last = self.surnames[draw(self.shares[0], total, rng)].tolist()
        first = self.given[draw(self.shares[1], total, rng)].tolist()
        people = [f"{one}, {other}" for one, other in zip(last, first, strict=True)]
        spans = [(end - size, end) for end, size in zip(ends, sizes.tolist(), strict=True)]
        return [" and ".join(people[start:end]) for start, end in spans], [last[start] for start, _ in spans]
