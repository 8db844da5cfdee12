"""Rows of papers for the tests, with sensible values for whatever a test does not care about."""

import itertools

from papers import intake
from papers.facts import Facts
from papers.identity import title_key
from papers.models import Claim, Paper, Technique

numbers = itertools.count(1)


def make_technique(**over):
    """ "sparse-sums" on the axis architecture, or the one that is there already."""
    given = {"slug": "sparse-sums", "name": "Sparse Sums", "axis": "architecture", "position": 0} | over
    return Technique.objects.get_or_create(slug=given.pop("slug"), defaults=given)[0]


def make_paper(identifiers=(), techniques=(), **over):
    number = next(numbers)
    given = {"key": f"invented2024paper{number}", "title": f"Invented Paper {number}", "year": 2024}
    given |= {"authors": "Invented, Ida and Made, Max"} | over
    paper = Paper.objects.create(title_key=title_key(given["title"]), **given)
    for scheme, value in identifiers:
        paper.identifiers.create(scheme=scheme, value=value)
    paper.techniques.set(techniques)
    return paper


def make_claim(paper, **over):
    given = {"slug": "speedup_x", "metric": "speedup_x", "kind": "ratio", "unit": "x", "better": "higher"}
    given |= {"value": 2.0, "low": 1.5, "high": 2.5, "range_printed": False, "verified": True}
    return Claim.objects.create(paper=paper, **given | {"locator": "Table 1"} | over)


def make_facts(**over):
    given = {"title": "Adding Up Less", "authors": "Invented, Ida and Made, Max", "year": 2024}
    return Facts(**given | over)


def bib_entry(**over):
    """The text of one sound entry; a field given as None is left out."""
    fields = {"title": "Adding Up Less", "author": "Invented, Ida and Made, Max", "year": "2024"} | over
    lines = [f"  {name} = {{{value}}},\n" for name, value in fields.items() if value is not None]
    return f"@misc{{typed,\n{''.join(lines)}}}\n"


def make_entry(who=None, text=None, **over):
    """The first entry of a submission of one BibTeX text."""
    return intake.submit(text or bib_entry(**over), who=who).entries.get(position=1)
