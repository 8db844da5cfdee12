"""One paper as the index sees it: its facet values, its words, and the numbers that were measured for it.

Keys of words are "w/..." anywhere, "t/..." in the title, "a/..." among the authors, each before a lexeme.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from django.db import connection

from papers.metrics import METRICS
from papers.models import Claim
from reproduce.models import Run

# Numbers that one can ask a range of: name, what it is called, the metrics that mean it.
NUMBERS = {
    "speedup": ("Speed-up", ("speedup_x", "throughput_ratio")),
    "memory": ("Memory ratio", ("mem_peak_ratio",)),
    "bits": ("Bits per weight", ("bits_per_weight",)),
    "trainable": ("Trainable share", ("trainable_param_frac",)),
}
GROUP_OF = {metric: name for name, (_, metrics) in NUMBERS.items() for metric in metrics}


@dataclass
class Evidence:
    """What finished full runs say of one paper."""

    measured: int = 0
    facets: set[str] = field(default_factory=set)
    gains: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, origin, hardware, metric, value, verdict, better):
        if origin == Run.Origin.CONTRIBUTED:
            self.facets.add("evidence=contributed")
            return
        self.measured += 1
        self.facets |= {"evidence=measured", f"evidence={verdict}"}
        if hardware:
            self.facets.add(f"hardware={hardware}")
        if verdict != "invalid":
            self._note_numbers(METRICS.get(metric), value, better)

    def _note_numbers(self, metric, value, better):
        if metric is None:
            return
        if metric.slug in GROUP_OF:
            self.values[GROUP_OF[metric.slug]].append(value)
        better = better if metric.better == Claim.Better.EITHER else metric.better
        if metric.kind == "ratio" and metric.unit == "x" and value > 0 and better in ("higher", "lower"):
            self.gains.append(value if better == "higher" else 1 / value)


@dataclass(frozen=True)
class Document:
    id: int
    facets: tuple[str, ...]
    words: tuple[str, ...]
    evidence: Evidence


PAPERS = """
SELECT p.id, p.year, p.month, p.venue, p.code_url <> '',
  ARRAY(SELECT t.slug FROM papers_paper_techniques u JOIN papers_technique t ON t.id = u.technique_id
        WHERE u.paper_id = p.id),
  ARRAY(SELECT DISTINCT t.axis FROM papers_paper_techniques u JOIN papers_technique t ON t.id = u.technique_id
        WHERE u.paper_id = p.id),
  (SELECT count(*) FROM papers_claim c WHERE c.paper_id = p.id),
  tsvector_to_array(p.search), tsvector_to_array(ts_filter(p.search, '{a}')),
  tsvector_to_array(ts_filter(p.search, '{b}'))
FROM papers_paper p
"""
MEASURED = """
SELECT r.paper_id, r.origin, r.device_name, m.metric, m.value, m.verdict, c.better
FROM reproduce_run r JOIN reproduce_measurement m ON m.run_id = r.id
LEFT JOIN papers_claim c ON c.id = m.claim_id
WHERE r.status = 'done' AND r.preset = 'full'
"""


def documents(ids=None, rows=None):
    """The papers of these ids, or all, as Documents; `rows` are those of PAPERS if they were read already."""
    evidence = evidence_of(ids)
    if rows is None:
        where, parameters = ("", []) if ids is None else ("WHERE p.id = ANY(%s)", [list(ids)])
        with connection.cursor() as cursor:
            cursor.execute(PAPERS + where, parameters)
            rows = cursor.fetchall()
    for row in rows:
        yield document(row, evidence.get(row[0]) or Evidence())


def evidence_of(ids=None):
    """{paper id: Evidence} of those that finished full runs measured."""
    where, parameters = ("", []) if ids is None else (" AND r.paper_id = ANY(%s)", [list(ids)])
    found = defaultdict(Evidence)
    with connection.cursor() as cursor:
        cursor.execute(MEASURED + where, parameters)
        for paper, *row in cursor.fetchall():
            found[paper].add(*row)
    return found


def document(row, evidence):
    number, year, month, venue, code, techniques, axes, claims, anywhere, title, authors = row
    facets = {f"year={year}", f"month={year}-{month or 0:02}", *evidence.facets}
    facets |= {f"technique={slug}" for slug in techniques} | {f"axis={axis}" for axis in axes}
    if venue:
        facets.add(f"venue={venue}")
    if code:
        facets.add("code=yes")
    if claims:
        facets.add("evidence=claims")
    if claims and not evidence.measured:
        facets.add("evidence=untested")
    if evidence.measured or claims:
        facets.add(f"depth={evidence.measured:06}-{claims:06}")
    words = [f"w/{word}" for word in anywhere] + [f"t/{word}" for word in title]
    return Document(number, tuple(facets), (*words, *(f"a/{word}" for word in authors)), evidence)
