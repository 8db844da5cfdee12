"""From the commit of an accepted paper until a request finds and counts it, and what that request costs."""

import re
import time

from django.contrib.auth import get_user_model

from papers import intake, moderation
from papers.models import Paper, Technique
from searching.client import Connection
from searching.words import invented

PATIENCE_S = 10


def accept(title, technique, who):
    """A paper sent in and accepted, committed when this returns."""
    text = f"@misc{{made, title = {{{title}}}, author = {{Fresh, Ada and Newly, Max}}, year = {{2025}}}}"
    entry = intake.submit(text, who=who).entries.get()
    return moderation.accept(entry, who=who, techniques=[technique])


def total(page):
    """The number of papers that a page of results says there are, or None."""
    found = re.search(r'role="status"[^>]*>\s*(?:<[^>]+>\s*)*([\d,]+)', page)
    return int(found[1].replace(",", "")) if found else None


def counted(page, technique):
    """The count of a technique in the page's facet, or None."""
    found = re.search(
        rf'name="technique" value="{technique}".{{0,400}}?class="count"[^>]*>([\d,]+)', page, re.S
    )
    return int(found[1].replace(",", "")) if found else None


def seen(answer, paper, technique):
    """(found, total right, facet right) of the page of a word that only this paper has; None: unreadable."""
    page = answer[-1] if answer[2] == 200 else ""
    numbers = total(page), counted(page, technique)
    return f"/papers/{paper.key}" in page, *(number if number is None else number == 1 for number in numbers)


def told(column):
    """How often it was so, or that no page could be read for it."""
    return "unreadable" if set(column) == {None} else sum(map(bool, column))


def measure(port, times):
    """A paper's seconds from commit to a right answer, its ms more than a like one's, what the first saw."""
    who, _ = get_user_model().objects.get_or_create(username="bench", defaults={"is_superuser": True})
    technique = Technique.objects.values_list("slug", flat=True).first()
    here = Paper.objects.count()
    words = iter(invented(2 * times + 2, 1000 + here, (5, 7)))
    delays, extras, first_time, all_counted = [], [], [], []
    for _ in range(times):
        connection = Connection(port).open()  # to whichever process: each must see what another was told
        one, other = next(words), next(words)
        paper = accept(f"Fresh {one} and {other}", technique, who)
        committed = time.perf_counter()
        answer = connection.ask(f"/papers?q={one}", [], keep=True)
        first_time.append(seen(answer, paper, technique))
        while False in seen(answer, paper, technique) and time.perf_counter() < committed + PATIENCE_S:
            answer = connection.ask(f"/papers?q={one}", [], keep=True)
        delays.append(time.perf_counter() - committed)
        like = connection.ask(f"/papers?q={other}", [], keep=True)
        extras.append(answer[0] - like[0])
        here += 1
        all_counted.append(total(connection.ask("/papers", [], keep=True)[-1]) == here)
        connection.close()
    return delays, extras, [told(column) for column in zip(*first_time, strict=True)], sum(all_counted)
