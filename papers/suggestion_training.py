"""Learning which words suggest which technique, from the papers that are here. Needs scikit-learn.

No chance is in it: the same papers give the same weights.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import spmatrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.multiclass import OneVsRestClassifier

from papers.facts import Facts
from papers.models import Learnt
from papers.suggestions import SHOWN, Model, digest, terms, text_of

FEWEST = 5  # papers of a technique, or there is nothing to learn of it
FOLDS = 3  # by which the confidence is learnt: each costs a training
STRENGTH = 3.0  # how little the weights are held back; 1 to 30 differ by a percent in cross-validation
DIGITS = 3


class TooFew(Exception):
    """Nothing can be learnt; the message says why."""


@dataclass(frozen=True)
class Lesson:
    """What is learnt from: texts, and for each technique whether each text has it."""

    techniques: list[str]
    texts: list[str]
    has: np.ndarray
    reads_abstracts: bool

    @classmethod
    def of(cls, papers: Sequence[Facts]) -> "Lesson":
        papers = sorted((facts for facts in papers if facts.techniques), key=lambda facts: facts.key)
        counts = Counter(technique for facts in papers for technique in facts.techniques)
        known = sorted(name for name, count in counts.items() if FEWEST <= count < len(papers))
        if len(known) < 2:
            raise TooFew(f"Two techniques with at least {FEWEST} papers each are needed to learn from.")
        abstracts = 2 * sum(bool(facts.abstract) for facts in papers) > len(papers)
        has = np.array([[name in facts.techniques for name in known] for facts in papers], dtype=int)
        return cls(known, [text_of(facts, abstracts) for facts in papers], has, abstracts)


def train(papers: Sequence[Facts]) -> Learnt:
    """Learn and store. Raises TooFew, and then leaves what there is."""
    lesson = Lesson.of(papers)
    values = {"weights": learn(lesson).to_json(), "corpus": digest(papers), "papers": len(lesson.texts)}
    return Learnt.objects.update_or_create(pk=Learnt.ONE, defaults=values)[0]


def learn(lesson: Lesson) -> Model:
    words, scorer = _fit(lesson.texts, lesson.has)
    slope, offset = calibrate(out_of_fold(lesson, FOLDS), lesson.has)
    coefficients = np.vstack([one.coef_[0] for one in scorer.estimators_]).round(DIGITS)
    names = list(words.get_feature_names_out())
    return Model(
        techniques=lesson.techniques,
        idf=dict(zip(names, words.idf_.round(DIGITS).tolist(), strict=True)),
        weights=dict(zip(names, coefficients.T.tolist(), strict=True)),
        intercepts=[round(float(one.intercept_[0]), DIGITS) for one in scorer.estimators_],
        slope=round(slope, DIGITS),
        offset=round(offset, DIGITS),
        reads_abstracts=lesson.reads_abstracts,
    )


def out_of_fold(lesson: Lesson, parts: int) -> np.ndarray:
    """The score of each paper for each technique by a model that never saw that paper."""
    scores = np.zeros(lesson.has.shape)
    for seen, unseen in folds(lesson, parts):
        words, scorer = _fit([lesson.texts[at] for at in seen], lesson.has[seen])
        scores[unseen] = scorer.decision_function(words.transform([lesson.texts[at] for at in unseen]))
    return scores


def folds(lesson: Lesson, parts: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return KFold(parts, shuffle=True, random_state=0).split(lesson.texts)


def calibrate(scores: np.ndarray, has: np.ndarray) -> tuple[float, float]:
    """How the score of a suggestion that is shown becomes its chance to be right (Platt's scaling)."""
    shown = np.argsort(-scores, axis=1, kind="stable")[:, :SHOWN]
    told, right = (np.take_along_axis(values, shown, axis=1).reshape(-1) for values in (scores, has))
    platt = LogisticRegression(C=1e6).fit(told.reshape(-1, 1), right)
    return float(platt.coef_[0, 0]), float(platt.intercept_[0])


def vectors(texts: Sequence[str]) -> tuple[TfidfVectorizer, spmatrix]:
    words = TfidfVectorizer(analyzer=terms, min_df=2, sublinear_tf=True)
    return words, words.fit_transform(texts)


def _fit(texts: Sequence[str], has: np.ndarray) -> tuple[TfidfVectorizer, Any]:
    words, matrix = vectors(texts)
    one = LogisticRegression(C=STRENGTH, solver="liblinear", class_weight="balanced", random_state=0)
    return words, OneVsRestClassifier(one).fit(matrix, has)
