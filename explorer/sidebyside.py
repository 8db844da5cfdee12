"""Papers side by side: which were asked for, and their claims and measurements of each metric."""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from explorer import comparison, drawing
from explorer.csv_text import as_csv
from explorer.dots import COLUMNS, claims_and_measurements, csv_row
from papers import identity
from papers.metrics import METRICS
from papers.models import Claim, FormerKey, Paper
from reproduce.models import Measurement

LEAST, MOST, PICTURES = 2, 6, 6
MOST_WORDS, MOST_LOOKUPS, LONGEST_SHOWN = 60, 20, 60  # of an address: more is no list of papers
KEY = re.compile(r"[-\w]{1,80}", re.ASCII)


@dataclass(frozen=True)
class Choice:
    """The papers asked for, in that order, and what was asked for and is not here."""

    papers: list[Paper]
    unknown: list[str]

    @property
    def comparable(self):
        return LEAST <= len(self.papers) <= MOST

    @property
    def errors(self):
        """What is wrong with the choice, a sentence each, with what to do about it."""
        found = []
        if self.unknown:
            found.append(
                f"No paper here goes by {told(self.unknown)}: search for it, or submit its reference."
            )
        if len(self.papers) > MOST:
            over = len(self.papers) - MOST
            found.append(f"{len(self.papers)} papers are chosen, and at most {MOST} fit: leave out {over}.")
        return found

    @property
    def query(self):
        return "papers=" + ",".join(paper.key for paper in self.papers)


@dataclass(frozen=True)
class Evidence:
    """A claim of a paper with its latest measurements; or a number that no claim asks for, by itself."""

    claim: Claim | None
    measurements: list[Measurement] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """A metric: for each paper, in their order, its Evidence."""

    metric: str
    cells: list[list[Evidence]]

    @property
    def shared(self):
        return sum(map(bool, self.cells))

    @property
    def claimed(self):
        return [any(each.claim for each in cell) for cell in self.cells]

    @property
    def columns(self):
        """Each cell, and whether its paper claims anything of this metric."""
        return list(zip(self.cells, self.claimed, strict=True))


def choose(values):
    """The papers that the values of `papers=` name, by key, former key or identifier, with commas between."""
    words = list(dict.fromkeys(word for value in values for word in re.split(r"[,\s]+", value) if word))
    read, unread = words[:MOST_WORDS], words[MOST_WORDS:]
    keys = [word for word in read if KEY.fullmatch(word)]
    found = {paper.key: paper.pk for paper in Paper.objects.filter(key__in=keys).only("key")}
    former = FormerKey.objects.filter(key__in=keys).values_list("key", "paper_id")
    found = dict(former) | found
    for word in [word for word in read if word not in found][:MOST_LOOKUPS]:
        if (name := identity.recognise(word)) and (paper := identity.resolve(*name)):
            found[word] = paper.pk
    chosen = list(dict.fromkeys(found[word] for word in read if word in found))
    papers = Paper.objects.in_full().in_bulk(chosen)
    return Choice([papers[pk] for pk in chosen], [word for word in read if word not in found] + unread)


def told(words):
    shown = [word[:LONGEST_SHOWN] + ("…" if len(word) > LONGEST_SHOWN else "") for word in words[:5]]
    more = f" and {len(words) - 5} more" if len(words) > 5 else ""
    return ", ".join(shown) + more


def rows(papers):
    """A Row for each metric: those that most papers share first, those that nobody claims last."""
    columns = {paper.pk: defaultdict(list) for paper in papers}
    for paper_id, evidence in _evidence(papers):
        numbers = evidence.claim or evidence.measurements[0]
        columns[paper_id][numbers.metric].append(evidence)
    metrics = {metric for column in columns.values() for metric in column}
    found = [Row(metric, [columns[paper.pk][metric] for paper in papers]) for metric in metrics]
    order = list(METRICS)
    found.sort(key=lambda row: (not any(row.claimed), -row.shared, order.index(row.metric)))
    return found


def _evidence(papers):
    """(id of the paper, Evidence) of each claim and then of each number without one."""
    measured = comparison.latest().filter(run__paper__in=papers).order_by("run__paper", "position", "pk")
    by_claim = defaultdict(list)
    for each in comparison.pooled(measured):
        by_claim[each.claim_id].append(each)
    unclaimed = by_claim.pop(None, [])
    for claim in Claim.objects.filter(paper__in=papers).select_related("paper"):
        yield claim.paper_id, Evidence(claim, by_claim[claim.pk])
    for each in unclaimed:
        yield each.run.paper_id, Evidence(None, [each])


def pairs(papers, row):
    """(paper, claim or None, measurement or None) of everything in a Row."""
    for paper, cell in zip(papers, row.cells, strict=True):
        for evidence in cell:
            for measured in evidence.measurements or [None]:
                yield paper, evidence.claim, measured


def pictures(papers, table):
    """A figure for each metric that two of the papers or more share, a handful at most."""
    shared = [row for row in table if row.shared > 1][:PICTURES]
    return drawing.on_page([claims_and_measurements(row.metric, list(pairs(papers, row))) for row in shared])


def csv_of(papers, table):
    """All numbers of the table, a line for each claim with each measurement of it."""
    return as_csv(COLUMNS, (csv_row(*pair) for row in table for pair in pairs(papers, row)))


def figures_of_technique(technique, most=3):
    """A Figure for each of the metrics that most papers of the technique claim, two papers at least."""
    papers = list(Paper.objects.filter(techniques=technique, claims__isnull=False).distinct())
    papers.sort(key=lambda paper: (paper.year, paper.key))
    used = [row for row in rows(papers) if sum(row.claimed) > 1]
    used.sort(key=lambda row: -sum(row.claimed))
    return [claims_and_measurements(row.metric, list(pairs(papers, row))) for row in used[:most]]
