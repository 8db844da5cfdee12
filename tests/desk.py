"""What the tests of the desk share."""

import re
from html import unescape

from papers import moderation
from tests.making import make_facts


def text_of(response):
    """The words of a page: no tags, single spaces."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def make_edited(ada, technique):
    """A paper with two changes: published, then edited."""
    facts = make_facts(techniques=[technique.slug], details={"pages": "1--2"})
    paper = moderation.publish(facts, who=ada, why="New", origin="community")
    moderation.edit(paper, {"year": 2023, "details": {"pages": "1--9"}}, who=ada, why="The year was wrong")
    return paper
