"""An endless synthetic language (RECIPES, A.7.1b): a probabilistic grammar, Zipf words, copies and recalls.

Text is bytes: every model that reads it is a byte model. One seed makes the language, another the text.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

VERSION = 1
LEVELS, KINDS, RULES, BRANCHES = 3, 8, 4, 3  # of the grammar: sentences expand LEVELS times
CLASSES, TOPICS = 16, 8  # word classes; topics permute which words of a class are frequent
ZIPF = 1.05
BLOCK, HALF = 128, 64  # words; the second half of a block may repeat pieces of the first
COPY_SHARE, LONGEST_COPY = 0.5, 16
RECALL_SHARE = 0.5
CHUNK = 1 << 16  # sentences made at once
FINE = 1 << 16  # steps of a tabulated distribution
MARK, END = 0, 1  # the words that announce a recalled pair, and end a sentence
VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"


@dataclass(frozen=True)
class Grammar:
    """A language made from `seed`; `words` is the size of its vocabulary, in 16 classes."""

    seed: int = 0
    words: int = 16_384

    def text(self, size: int, seed: int) -> np.ndarray:
        """(size,) uint8: text of this language, the same for the same seed; longer text begins alike."""
        parts, made, chunk = [], 0, 0
        while made < size:
            spelled = self._spell(self._ids(np.random.default_rng((seed, chunk))))
            parts.append(spelled[: size - made])
            made += len(parts[-1])
            chunk += 1
        return np.concatenate(parts) if parts else np.empty(0, np.uint8)

    def _ids(self, random: np.random.Generator) -> np.ndarray:
        """Word ids of a chunk of sentences, whole blocks only; each sentence's last word is its end."""
        rules, lengths = self._rules
        symbols, sentences = np.zeros(CHUNK, np.int64), np.arange(CHUNK)
        for level in range(LEVELS):
            choice = _zipf_table(RULES, 1.0)[random.integers(FINE, size=len(symbols))]
            kept = np.arange(BRANCHES) < lengths[level, symbols, choice][:, None]
            sentences = sentences.repeat(kept.sum(1))
            symbols = rules[level, symbols, choice][kept]
        topics = random.integers(TOPICS, size=CHUNK // 8)[sentences // 8]  # one lasts for eight sentences
        frequent = _zipf_table(self._ranks, ZIPF)[random.integers(FINE, size=len(symbols))]
        ids = self._meanings[topics, symbols, frequent]
        ids[np.flatnonzero(np.diff(sentences, append=CHUNK))] = END
        return self._repeat(ids[: len(ids) // BLOCK * BLOCK].reshape(-1, BLOCK), random).ravel()

    def _repeat(self, blocks: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Lets second halves repeat spans of first halves, and recall pairs that first halves define."""
        count, places = len(blocks), np.arange(HALF)
        length = random.integers(3, LONGEST_COPY + 1, size=count) * (random.random(count) < COPY_SHARE)
        source, target = (random.integers(HALF - LONGEST_COPY, size=count)[:, None] for _ in range(2))
        inside = (places >= target) & (places < target + length[:, None])
        moved = np.take_along_axis(blocks, np.clip(places - target + source, 0, HALF - 1), axis=1)
        recalls = np.flatnonzero(random.random(count) < RECALL_SHARE)
        blocks[:, HALF:][inside] = moved[inside]
        pairs = random.integers(2, self.words, size=(len(recalls), 2))
        for half in (0, HALF):
            at = random.integers(HALF - 3, size=len(recalls)) + half
            for offset, ids in enumerate((MARK, pairs[:, 0], pairs[:, 1])):
                blocks[recalls, at + offset] = ids
        return blocks

    def _spell(self, ids: np.ndarray) -> np.ndarray:
        letters, starts, lengths = self._spelling
        sizes = lengths[ids]
        ends = np.cumsum(sizes)
        places = np.repeat(starts[ids] - (ends - sizes), sizes) + np.arange(ends[-1])
        return letters[places]

    @property
    def _ranks(self) -> int:
        return (self.words - 2) // CLASSES

    @cached_property
    def _rules(self) -> tuple[np.ndarray, np.ndarray]:
        """(levels, kinds, rules, branches) symbols of the next level (at last word classes), and lengths."""
        random = np.random.default_rng((self.seed, 1))
        rules = random.integers(KINDS, size=(LEVELS, KINDS, RULES, BRANCHES))
        rules[-1] = random.integers(CLASSES, size=rules[-1].shape)
        return rules, random.integers(2, BRANCHES + 1, size=rules.shape[:3])

    @cached_property
    def _meanings(self) -> np.ndarray:
        """(topics, classes, ranks): ids; half of the classes keep their order whatever the topic."""
        random = np.random.default_rng((self.seed, 2))
        ids = 2 + np.arange(CLASSES * self._ranks).reshape(self._ranks, CLASSES).T
        found = np.repeat(ids[None], TOPICS, axis=0)
        for topic in range(TOPICS):
            for kind in range(CLASSES // 2):
                found[topic, kind] = random.permutation(ids[kind])
        return found

    @cached_property
    def _spelling(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All words' bytes in a row, and where each begins and how long it is; frequent words are short."""
        random = np.random.default_rng((self.seed, 3))
        spelled, taken = [b"= ", b".\n"], set()
        while len(spelled) < self.words:
            syllables = 1 + int(np.log(len(spelled)) / np.log(len(VOWELS) * len(CONSONANTS) / 2))
            letters = (random.choice(list(kind), syllables) for kind in (CONSONANTS, VOWELS))
            word = "".join(a + b for a, b in zip(*letters, strict=True)) + random.choice(["", "n", "s"])
            if word not in taken:
                taken.add(word)
                spelled.append(word.encode() + b" ")
        lengths = np.array([len(word) for word in spelled])
        return np.frombuffer(b"".join(spelled), np.uint8), np.cumsum(lengths) - lengths, lengths


def _zipf_table(size: int, exponent: float) -> np.ndarray:
    """(FINE,) ranks below `size` in order, as often as Zipf's law says; each at least once if FINE allows."""
    weights = np.arange(1, size + 1, dtype=float) ** -exponent
    bounds = np.cumsum(weights) / weights.sum()
    return np.searchsorted(bounds, (np.arange(FINE) + 0.5) / FINE)
