"""A corpus whose duplicates are known: some documents of a synthetic language, repeated by a power law.

Half of the repeated documents are copied exactly; in copies of the others two words differ each time.
"""

from dataclasses import dataclass

import numpy as np

from reproduce.recipes.blocks.grammar import Grammar

DOCUMENT = 512  # bytes
REPEATED = 0.01  # of the documents
OVERLAP = 0.04  # of the validation documents stand in the training documents too
NOISY_PLACES, JITTER, CHANGED = (165, 335), 35, 7  # where copies differ: no 256 bytes are the same
LETTERS = np.frombuffer(b"bcdfghjklmnpqrstvwxyz", np.uint8)


@dataclass(frozen=True)
class Planted:
    """Documents (count, DOCUMENT) uint8; `origin` says which document each one is, or is a copy of."""

    documents: np.ndarray
    origin: np.ndarray
    noisy: np.ndarray  # (count,) whether it is a copy with changes
    validation: np.ndarray  # (count, DOCUMENT)
    overlaps: np.ndarray  # (count,) whether a validation document is planted from the training ones

    @property
    def unique(self) -> int:
        """How many different documents there are."""
        return len(set(self.origin.tolist()))


def plant(count: int, most: int, seed: int = 0) -> Planted:
    """`count` documents, of which 1 % (at least four) also stand there most, most / 2, most / 3 ... times."""
    random, validation = np.random.default_rng(seed), max(50, count // 20)
    text = Grammar(seed).text((count + validation) * DOCUMENT, seed + 1).reshape(-1, DOCUMENT)
    own, held_out = text[:count], text[count:].copy()
    repeated = max(4, round(REPEATED * count))
    copies = np.array([max(1, round(most / rank) - 1) for rank in range(1, repeated + 1)])
    origin = np.concatenate((np.arange(count), np.repeat(np.arange(repeated), copies)))
    noisy = (np.arange(len(origin)) >= count) & (origin % 2 == 1)
    documents = own[origin]
    documents[noisy] = changed(documents[noisy], random)
    planted = np.arange(validation) < round(OVERLAP * validation)
    held_out[planted] = changed(own[random.permutation(count)[: planted.sum()]], random)
    order = random.permutation(len(origin))
    return Planted(documents[order], origin[order], noisy[order], held_out, planted)


def changed(documents: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same documents with a word's length of other letters at about each third."""
    found = documents.copy()
    for place in NOISY_PLACES:
        starts = place + random.integers(-JITTER, JITTER + 1, len(found))
        spots = starts[:, None] + np.arange(CHANGED)
        found[np.arange(len(found))[:, None], spots] = random.choice(LETTERS, (len(found), CHANGED))
    return found
