"""Rows of papers for the tests, with sensible values for whatever a test does not care about."""

import itertools

from papers.identity import title_key
from papers.models import Paper

numbers = itertools.count(1)


def make_paper(**over):
    number = next(numbers)
    given = {"key": f"invented2024paper{number}", "title": f"Invented Paper {number}", "year": 2024}
    given |= {"authors": "Invented, Ida and Made, Max"} | over
    return Paper.objects.create(title_key=title_key(given["title"]), **given)
