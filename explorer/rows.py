"""The lines of the list of papers as HTML, kept until the paper changes: the index knows when it did."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from explorer import listing

MOST_KEPT = 5000
_lock = Lock()
_kept: OrderedDict = OrderedDict()


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
    for paper in listing.read([number for number in ids if number not in found]):
        html = mark_safe(render_to_string("papers/_row.html", {"paper": paper}))
        found[paper.pk] = Row(paper.key, html)
    with _lock:
        _kept.update((names[number], row) for number, row in found.items())
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return [found[number] for number in ids if number in found]
