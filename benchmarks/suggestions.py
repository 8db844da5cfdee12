"""How often the suggested technique is right, cross-validated on the corpus, beside simpler ways in one run.

Right at 1: the first suggestion is one of the paper's techniques; right at 3: one of the first three is.
"""

import itertools
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django
import numpy as np

django.setup()

from searching.tables import machine, table  # noqa: E402
from sklearn.naive_bayes import ComplementNB  # noqa: E402

from papers import corpus_files, suggestion_training  # noqa: E402
from papers.suggestions import SHOWN, Model  # noqa: E402

FOLDS = 5
BINS = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0001)


def majority(seen, has, unseen):
    return np.tile(has.mean(axis=0), (unseen.shape[0], 1))


def naive_bayes(seen, has, unseen):
    return np.column_stack([ComplementNB().fit(seen, one).predict_log_proba(unseen)[:, 1] for one in has.T])


def nearest_centroid(seen, has, unseen):
    """The cosine to the mean of a technique's papers."""
    centroids = np.vstack([np.asarray(seen[one == 1].mean(axis=0))[0] for one in has.T])
    return unseen @ (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).T


def out_of_fold(lesson, rule):
    scores = np.zeros(lesson.has.shape)
    for seen, unseen in suggestion_training.folds(lesson, FOLDS):
        words, matrix = suggestion_training.vectors([lesson.texts[at] for at in seen])
        others = words.transform([lesson.texts[at] for at in unseen])
        scores[unseen] = rule(matrix, lesson.has[seen], others)
    return scores


def right_at(scores, has, most):
    best = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return np.take_along_axis(has, best, axis=1).any(axis=1).mean()


def calibration(scores, has):
    """Of the three that are shown, by their confidence, the share that is right; scaled on the other half."""
    shown = np.argsort(-scores, axis=1, kind="stable")[:, :SHOWN]
    told, right = (np.take_along_axis(values, shown, axis=1) for values in (scores, has))
    chance, half = np.zeros(told.shape), np.arange(len(told)) % 2
    for mine in (0, 1):
        slope, offset = suggestion_training.calibrate(scores[half != mine], has[half != mine])
        chance[half == mine] = 1 / (1 + np.exp(-(slope * told[half == mine] + offset)))
    rows = []
    for low, high in itertools.pairwise(BINS):
        inside = (chance >= low) & (chance < high)
        if inside.any():
            said, was = chance[inside].mean(), right[inside].mean()
            rows.append([f"{low:.0%} to {min(high, 1):.0%}", inside.sum(), f"{said:.1%}", f"{was:.1%}"])
    table(["confidence", "suggestions", "said", "right"], rows)


def main():
    papers = corpus_files.read(corpus_files.SHIPPED).papers
    lesson = suggestion_training.Lesson.of(papers)
    reads = "titles and abstracts" if lesson.reads_abstracts else "titles (few papers have an abstract)"
    print(machine())
    counts = f"{len(lesson.texts):,} papers, {len(lesson.techniques)} techniques"
    print(f"{counts}, {FOLDS} folds; {reads}")
    scores = {
        "the most frequent technique (baseline)": out_of_fold(lesson, majority),
        "naive Bayes (complement), tf-idf (baseline)": out_of_fold(lesson, naive_bayes),
        "nearest centroid, tf-idf (baseline)": out_of_fold(lesson, nearest_centroid),
        "suggestions: logistic regression, tf-idf": suggestion_training.out_of_fold(lesson, FOLDS),
    }
    table(
        ["rule", "right at 1", "right at 3"],
        [
            [name, *(f"{right_at(some, lesson.has, most):.1%}" for most in (1, 3))]
            for name, some in scores.items()
        ],
    )
    calibration(scores["suggestions: logistic regression, tf-idf"], lesson.has)
    started = time.perf_counter()
    text = suggestion_training.learn(lesson).to_json()
    took, again = time.perf_counter() - started, suggestion_training.learn(lesson).to_json()
    size = len(text) / 1e6
    print(f"\nTraining takes {took:.1f} s and gives {size:.2f} MB; the same bytes again: {text == again}")
    started = time.perf_counter()
    model = Model.from_json(text)
    read = time.perf_counter() - started
    started = time.perf_counter()
    for facts in papers:
        model.suggest(facts)
    each = (time.perf_counter() - started) / len(papers)
    print(f"Reading the weights takes {1e3 * read:.0f} ms once a process, a suggestion {1e3 * each:.2f} ms")


if __name__ == "__main__":
    main()
