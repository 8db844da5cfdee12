"""The lines of the list of papers as HTML, kept until the paper changes: the index knows when it did.

In Python and plain SQL: templates and the ORM would take longer than all of the search.
"""

import json
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from django.utils.html import escape
from django.utils.safestring import mark_safe

from explorer import citing
from explorer.prepared import Prepared
from explorer.templatetags.figures import verdict_chip
from papers.facts import Facts
from papers.models import Paper

MOST_KEPT = 20_000  # of about 1.3 kB each
_lock = Lock()
_kept: OrderedDict = OrderedDict()
COLUMNS = ("id", "key", "title", "authors", "authors_complete", "year", "month", "venue", "verified")
COLUMNS += ("kind", "url", "details")
FACTS = Prepared(
    "papers_listed",
    "bigint[]",
    f"""
SELECT {", ".join(f"p.{column}" for column in COLUMNS)},
  ARRAY(SELECT ARRAY[t.axis, t.slug, t.name] FROM papers_paper_techniques u
        JOIN papers_technique t ON t.id = u.technique_id WHERE u.paper_id = p.id ORDER BY t.position),
  ARRAY(SELECT ARRAY[i.scheme, i.value] FROM papers_identifier i WHERE i.paper_id = p.id ORDER BY 1),
  (SELECT count(*) FROM papers_claim c WHERE c.paper_id = p.id), measured.n, headline.verdict, headline.recipe
FROM papers_paper p
LEFT JOIN LATERAL (
  SELECT count(*) AS n FROM reproduce_run r JOIN reproduce_measurement m ON m.run_id = r.id
  WHERE r.paper_id = p.id AND r.status = 'done' AND r.preset = 'full' AND r.origin <> 'contributed'
) measured ON true
LEFT JOIN LATERAL (
  SELECT m.verdict, r.recipe FROM reproduce_run r JOIN reproduce_measurement m ON m.run_id = r.id
  WHERE measured.n > 0 AND m.headline AND r.paper_id = p.id
    AND r.status = 'done' AND r.preset = 'full' AND r.origin <> 'contributed'
  ORDER BY r.finished DESC, m.id DESC LIMIT 1
) headline ON true
WHERE p.id = ANY($1)
""",
)
CITED = ("key", "kind", "title", "authors", "year", "month", "venue", "url", "details")
UNVERIFIED = (
    ' · <span class="chip chip-warning" title="Known from general knowledge; no source has confirmed it yet">'
    "unverified</span>"
)


@dataclass(frozen=True)
class Row:
    key: str
    html: str


def rows(index, ids):
    """The Rows of these papers, in this order; only those not seen since they changed are read and drawn."""
    names = {number: (index.epoch, number, index.touched_at.get(number, 0)) for number in ids}
    with _lock:
        found = {number: _kept[name] for number, name in names.items() if name in _kept}
        for number in found:
            _kept.move_to_end(names[number])
    new = _read([number for number in ids if number not in found])
    found |= new
    with _lock:
        _kept.update((names[number], row) for number, row in new.items())
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return [found[number] for number in ids if number in found]


def _read(ids):
    """{id: Row}; one that is gone by now is left out."""
    if not ids:
        return {}
    return {row[0]: _row(*row) for row in FACTS.rows(ids)}


def _row(*facts):
    *columns, techniques, identifiers, claimed, measured, verdict, recipe = facts
    paper = Paper(**dict(zip(COLUMNS, columns, strict=True)))
    paper.details = json.loads(paper.details)
    said = f"{escape(paper.byline)} · {paper.year}"
    said += f" · {escape(paper.venue)}" if paper.venue else ""
    said += f" · {claimed} claim{'' if claimed == 1 else 's'}" if claimed else ""
    said += f" · <strong>{measured} measured</strong>" if measured else ""
    said += "" if paper.verified else UNVERIFIED
    tags = "".join(
        f'<a class="tag axis-{axis}" href="/techniques/{slug}">{escape(name)}</a>'
        for axis, slug, name in techniques
    )
    title, key = escape(paper.title), paper.key
    chip = f" {verdict_chip(verdict, recipe)}" if verdict else ""
    shown = Facts(identifiers=identifiers, **{name: getattr(paper, name) for name in CITED})
    return Row(
        key,
        mark_safe(
            f'<li>\n<div class="row-head"><a class="title" href="/papers/{key}">{title}</a>{chip}</div>\n'
            f'<p class="muted">{said}</p>\n'
            f'<p class="tags">{tags}<label class="pick">'
            f'<input type="checkbox" form="compare" name="papers" value="{key}"> compare'
            f'<span class="visually-hidden"> {title}</span></label></p>\n'
            f'<span class="Z3988" title="{escape(citing.coins(shown))}"></span>\n</li>\n'
        ),
    )
