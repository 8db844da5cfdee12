"""Addresses that last: a paper is found by its key, by a key it had before, or by any of its identifiers."""

from django.http import Http404

from papers import identity
from papers.models import FormerKey


def present_key(former):
    """The key that a retired key leads to. Raises Http404 for one that never was."""
    found = FormerKey.objects.select_related("paper").filter(key=former).first()
    if found is None:
        raise Http404(f"There is no paper {former[:80]}. Search for it, or submit its reference.")
    return found.paper.key


def paper_named(scheme, value):
    """The paper that goes by that identifier, in any spelling. Raises Http404."""
    paper = identity.resolve(scheme, value)
    if paper is None:
        raise Http404(f"No paper here goes by {scheme}:{value[:120]}. You can submit its reference.")
    return paper
