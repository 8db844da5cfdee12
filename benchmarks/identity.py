"""Which paper is it? Precision and recall of the exact rule and the suspicion on the held-out half of a set.

`--choose` shows instead what the limits of papers/nearness.py give on the other half: so they were chosen.
`--wrong` names what went wrong.
"""

import argparse
import itertools
import os
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

from identifying import labelled, rules  # noqa: E402
from searching.tables import machine, table  # noqa: E402

from papers import nearness  # noqa: E402

FOLDS = 10  # of the corpus, each looked for among the others
ITSELF = "the paper itself, left out"


class Score:
    """What one rule said of many cases."""

    def __init__(self):
        self.right, self.wrong, self.missed, self.silent = Counter(), Counter(), Counter(), Counter()
        self.faults = []

    def count(self, case, found):
        if found is None:
            (self.missed if case.same else self.silent)[case.kind] += 1
        else:
            (self.right if found == case.same else self.wrong)[case.kind] += 1
        if found != case.same:
            self.faults.append((case, found))

    @property
    def precision(self):
        return self.right.total() / ((self.right.total() + self.wrong.total()) or 1)

    @property
    def recall(self):
        return self.right.total() / ((self.right.total() + self.missed.total()) or 1)

    @property
    def f1(self):
        return 2 * self.precision * self.recall / ((self.precision + self.recall) or 1)

    def row(self, name):
        counts = (f"{kind.total():,}" for kind in (self.right, self.wrong, self.missed))
        return [name, f"{self.precision:.4f}", f"{self.recall:.4f}", *counts]


def judge(rule, papers, cases):
    """One rule on these cases. A paper is looked for among the others in a corpus without its tenth."""
    score, plain = Score(), [case for case in cases if case.kind != ITSELF]
    find = rule(papers)
    for case in plain:
        score.count(case, find(case.sent))
    fold_of = {key: at % FOLDS for at, key in enumerate(papers)}
    for fold in range(FOLDS):
        find = rule({key: facts for key, facts in papers.items() if fold_of[key] != fold})
        for case in cases:
            if case.kind == ITSELF and fold_of[case.sent.key] == fold:
                score.count(case, find(case.sent))
    return score


def choose(papers, cases):
    """The limits of nearness.py, and of the baseline, on the half that is not held out."""
    rows = []
    left = unsure(papers, cases)
    for half, every in itertools.product((82, 85, 88, 91, 94), (70, 76, 82, 85, 88, 91)):
        if every <= half:
            nearness.LIKE_BY_HALF, nearness.LIKE_BY_ALL = half, every
            score = judge(rules.suspicion, papers, left)
            rows.append([half, every, *score.row("")[1:], f"{score.f1:.4f}"])
    table(["LIKE_BY_HALF", "LIKE_BY_ALL", "precision", "recall", "right", "wrong", "missed", "F1"], rows)
    scores = {least: judge(rules.title_alike(least), papers, cases) for least in (80, 85, 88, 91, 94, 97)}
    table(
        ["ratio alone from", "precision", "recall", "right", "wrong", "missed", "F1"],
        [[least, *score.row("")[1:], f"{score.f1:.4f}"] for least, score in scores.items()],
    )


def unsure(papers, cases):
    """The cases about which the exact rule says nothing: those that are left to a suspicion."""
    surely = rules.exact(papers)
    return [case for case in cases if case.kind == ITSELF or surely(case.sent) is None]


def report(papers, cases, show_faults):
    named = {
        "title key alone (baseline)": (rules.title_alone, cases),
        f"rapidfuzz ratio alone, from {RATIO_ALONE} (baseline)": (rules.title_alike(RATIO_ALONE), cases),
        "exact rule": (rules.exact, cases),
        "suspicion, of what the exact rule leaves": (rules.suspicion, unsure(papers, cases)),
        "both, as intake asks them": (rules.both, cases),
    }
    scores = {name: judge(rule, papers, some) for name, (rule, some) in named.items()}
    table(
        ["rule", "precision", "recall", "right", "wrong", "missed"],
        [score.row(name) for name, score in scores.items()],
    )
    names = list(named)
    kinds = dict.fromkeys(case.kind for case in cases)
    table(
        ["kind of reference", "is here", *(f"{name.split(',')[0]}: right / wrong" for name in names)],
        [
            [
                kind,
                "yes" if any(case.same for case in cases if case.kind == kind) else "no",
                *(f"{scores[name].right[kind]:,} / {scores[name].wrong[kind]:,}" for name in names),
            ]
            for kind in kinds
        ],
    )
    for case, found in scores[names[-1]].faults if show_faults else ():
        print(f"{case.kind}: “{case.sent.title}” {case.sent.year} is {case.same}, found {found}")


RATIO_ALONE = 94  # the best F1 of --choose


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--choose", action="store_true", help="compare limits on the other half")
    parser.add_argument("--wrong", action="store_true", help="name each wrong or missed paper")
    options = parser.parse_args()
    papers = labelled.corpus()
    cases = [case for case in labelled.cases(papers) if case.held_out != options.choose]
    here = sum(1 for case in cases if case.same)
    half = "chosen by" if options.choose else "held out"
    print(machine())
    counts = f"{here:,} here, {len(cases) - here:,} not"
    print(f"{len(papers):,} papers; {len(cases):,} references ({half}): {counts}")
    choose(papers, cases) if options.choose else report(papers, cases, options.wrong)


if __name__ == "__main__":
    main()
