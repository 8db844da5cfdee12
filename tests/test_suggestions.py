"""Suggested techniques: learnt from the papers here by a command, read without scikit-learn, shown to those who ask."""

import pytest
from django.core.management import call_command

from papers import suggestions
from papers.models import Learnt
from tests.desk import text_of
from tests.making import make_entry, make_facts, make_paper, make_technique

SUMS, SORTS = "sparse-sums", "fast-sorts"


@pytest.fixture
def corpus(db):
    """Two techniques with six papers each, told apart by their words."""
    sums = make_technique(slug=SUMS, name="Sparse Sums")
    sorts = make_technique(slug=SORTS, name="Fast Sorts", position=1)
    for word in ("Long", "Short", "Odd", "Even", "Large", "Small"):
        make_paper(techniques=[sums], title=f"Adding {word} Columns Sparsely")
        make_paper(techniques=[sorts], title=f"Sorting {word} Lists Quickly")


@pytest.fixture
def learnt(corpus):
    call_command("train_suggestions", verbosity=0)
    return Learnt.objects.get()


def test_the_likeliest_first_and_the_same_bytes_again(learnt, capsys):
    model = suggestions.current()
    first, *others = model.suggest(make_facts(title="On Adding Sparse Columns"))
    assert first.technique == SUMS and 0.5 < first.confidence <= 1
    assert all(other.confidence < first.confidence for other in others)
    assert model.suggest(make_facts(title="Zebras"), 3) == []
    call_command("train_suggestions", "--if-changed")
    assert "learnt from these papers already" in capsys.readouterr().out
    call_command("train_suggestions")
    assert Learnt.objects.get().weights == learnt.weights
    make_paper(title="Adding Something New", techniques=[make_technique(slug=SUMS)])
    call_command("train_suggestions", "--if-changed")
    assert Learnt.objects.get().papers == 13
    assert suggestions.current() != model


def test_too_few_papers_teach_nothing(db, capsys):
    call_command("train_suggestions")
    assert "Two techniques with at least 5 papers each are needed" in capsys.readouterr().out
    assert suggestions.current() is None


def test_the_desk_shows_them_and_ticks_nothing(client, ada, ben, learnt):
    entry = make_entry(ben, title="Adding Sparse Rows")
    client.force_login(ben)
    sent = client.get(f"/submissions/{entry.submission_id}")
    assert [slug for slug, *_ in sent.context["lines"][0].suggested] == [SUMS]
    client.force_login(ada)
    page = client.get("/moderation")
    assert "The title suggests Sparse Sums" in text_of(page)
    assert "checked" not in page.content.decode()
    boxes = page.content.decode().count(f'name="techniques" value="{SUMS}"')
    assert boxes == 3  # beside the suggestion, so that one click takes it; below it; and for several at once


def test_the_desk_works_without(client, ada, ben, corpus):
    make_entry(ben, title="Adding Sparse Rows")
    client.force_login(ada)
    page = client.get("/moderation")
    assert page.status_code == 200
    assert "suggests" not in text_of(page)
