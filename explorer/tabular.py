"""Papers as plain rows: the same columns in CSV and JSON."""

import csv
import json
from itertools import chain

from explorer import csv_text

COLUMNS = ("key", "title", "authors", "year", "month", "venue", "arxiv", "doi", "openreview", "acl")
COLUMNS += ("url", "code", "axes", "techniques", "verified", "claims", "measurements")


def facts(paper):
    """What a list says of a paper, as plain data under the names of the CSV's columns."""
    names = {name.scheme: name.value for name in reversed(paper.identifiers.all())}
    return {
        "key": paper.key,
        "title": paper.title,
        "authors": paper.author_list + ([] if paper.authors_complete else ["others"]),
        "year": paper.year,
        "month": paper.month,
        "venue": paper.venue,
        **{scheme: names.get(scheme) for scheme in ("arxiv", "doi", "openreview", "acl")},
        "url": paper.url or None,
        "code": paper.code_url or None,
        "axes": sorted({technique.axis for technique in paper.techniques.all()}),
        "techniques": [technique.slug for technique in paper.techniques.all()],
        "verified": paper.verified,
        "claims": paper.claimed,
        "measurements": paper.measured,
    }


def as_json(papers):
    yield "["
    for number, each in enumerate(papers):
        yield (",\n" if number else "\n") + json.dumps(facts(each), ensure_ascii=False)
    yield "\n]\n"


def as_csv(papers):
    lines = csv.writer(Echo())
    return chain([lines.writerow(COLUMNS)], (lines.writerow(row(each)) for each in papers))


def row(paper):
    return [cell(value) for value in facts(paper).values()]


def cell(value):
    """Lists with semicolons, and as csv_text has it."""
    return csv_text.cell("; ".join(value) if isinstance(value, list) else value)


class Echo:
    """A file for csv.writer that hands each line straight back."""

    def write(self, line):
        return line
