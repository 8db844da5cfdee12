"""Techniques that a paper's title and abstract suggest, with a confidence; a moderator decides.

Reads the weights that `manage.py train_suggestions` left in the database. Without them nothing is suggested.
"""

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Self

from papers.facts import Facts
from papers.folding import fold
from papers.models import Learnt, Paper

SHOWN = 3
LEAST = 0.05  # what is less likely than this is not worth reading
METHOD = 1  # one more whenever terms() or the training learns in another way
STEM = 5  # letters: "quantization", "quantized" and "quantizing" begin alike
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Suggestion:
    """A technique by its slug, and how likely it is one of the paper's."""

    technique: str
    confidence: float


@dataclass(frozen=True)
class Model:
    """One linear model a technique over tf-idf; `slope` and `offset` make a score a probability."""

    techniques: list[str]
    idf: dict[str, float]
    weights: dict[str, list[float]]  # of a term for each technique
    intercepts: list[float]
    slope: float
    offset: float
    reads_abstracts: bool

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(vars(self), sort_keys=True, separators=(",", ":"))

    def suggest(self, facts: Facts, most: int = SHOWN) -> list[Suggestion]:
        """The likeliest first; none when no word of it was ever seen."""
        found = {term: weight for term, weight in self._tf_idf(facts).items() if weight}
        if not found:
            return []
        scores = list(self.intercepts)
        for term, value in found.items():
            for at, weight in enumerate(self.weights[term]):
                scores[at] += value * weight
        ranked = sorted(zip(scores, self.techniques, strict=True), reverse=True)[:most]
        likely = (Suggestion(technique, self._confidence(score)) for score, technique in ranked)
        return [suggestion for suggestion in likely if suggestion.confidence >= LEAST]

    def _tf_idf(self, facts: Facts) -> dict[str, float]:
        counts = Counter(term for term in terms(text_of(facts, self.reads_abstracts)) if term in self.idf)
        values = {term: (1 + math.log(count)) * self.idf[term] for term, count in counts.items()}
        length = math.sqrt(sum(value * value for value in values.values())) or 1
        return {term: value / length for term, value in values.items()}

    def _confidence(self, score: float) -> float:
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, self.slope * score + self.offset))))


def stored_papers() -> list[Facts]:
    """What there is to learn from, without the rest of each paper."""
    techniques: dict[int, list[str]] = defaultdict(list)
    tags = Paper.techniques.through.objects.order_by("technique__position")
    for pk, slug in tags.values_list("paper_id", "technique__slug"):
        techniques[pk].append(slug)
    papers = Paper.objects.order_by("key").values_list("pk", "key", "title", "abstract")
    return [
        Facts(key=key, title=title, abstract=abstract, techniques=techniques[pk])
        for pk, key, title, abstract in papers
    ]


def digest(papers: Iterable[Facts]) -> str:
    """Changes with whatever the weights come from."""
    said = [METHOD, *([facts.key, facts.title, facts.abstract, facts.techniques] for facts in papers)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def text_of(facts: Facts, with_abstract: bool) -> str:
    return f"{facts.title} {facts.abstract}" if with_abstract else facts.title


def terms(text: str) -> list[str]:
    """Words without plural s, pairs of neighbours, and how longer words begin."""
    words = [_singular(word) for word in _WORD.findall(fold(text))]
    pairs = [f"{one} {other}" for one, other in pairwise(words)]
    return words + pairs + [f"{word[:STEM]}-" for word in words if len(word) > STEM]


def current() -> Model | None:
    """The model there is now; one small query says whether it is the one that this process has read."""
    corpus = Learnt.objects.values_list("corpus", flat=True).first()
    return _read(corpus) if corpus else None


@lru_cache(maxsize=1)
def _read(corpus: str) -> Model | None:
    text = Learnt.objects.filter(corpus=corpus).values_list("weights", flat=True).first()
    return Model.from_json(text) if text else None


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
