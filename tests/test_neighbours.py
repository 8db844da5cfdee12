"""Possible duplicates: what is nearly the same paper, and what never is; found through the database."""

import pytest

from papers import identity, intake, moderation
from papers.models import Paper
from papers.nearness import near
from tests.desk import text_of
from tests.making import bib_entry, make_entry, make_facts, make_paper, make_technique

TITLE = "Adding Up Less: Sparse Sums for Long Columns"
ONE = {"title": TITLE, "authors": "Invented, Ida and Made, Max and Ure, Zoë", "year": 2024}


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"title": "Addin Up Less: Sprase Sums for Long Colums"}, "titles alike to 9"),
        ({"title": "Adding Up Less"}, "same title but for a sub-title, same authors"),
        ({"title": "Sparse Sums for Long Columns"}, "same title but for the name before it"),
        ({"title": "Adding Up Less: How to Sum"}, "same name before the colon"),
        ({"authors": "Made, Max and Ure, Zoe and Invented, Ida"}, "same title, same authors"),
        ({"authors": "Ida, Invented and Max, Made"}, "same title, same authors"),
        ({"year": 2027}, "same title, same authors, 3 years apart"),
    ],
)
def test_nearly_the_same(over, why):
    assert near(make_facts(**ONE), make_facts(**ONE | over)).why.startswith(why)


@pytest.mark.parametrize(
    "over",
    [
        {"title": f"{TITLE} 2"},
        {"title": "Adding Up Less II: Sparse Sums for Long Columns"},
        {"title": "Adding Up Less+: Sparse Sums for Long Columns"},
        {"authors": "Stranger, Sam and Other, Olga"},
        {"authors": "Invented, Bob"},
        {"title": "Multiplying Less: A Survey of Products"},
        {"year": 2028},
    ],
)
def test_another_paper(over):
    assert near(make_facts(**ONE), make_facts(**ONE | over)) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "over",
    [
        {
            "title": "Sums for Long Columns, and Adding Up Less",
            "title_here": "Sums for Long Columns and Adding Less",
        },
        {"authors": "Made, Max and Invented, Ida", "year": 2026},
        {"title": "Adding Up Less"},
    ],
    ids=["by the first author", "by the title", "by both"],
)
def test_the_database_finds_it_and_the_entry_says_why(over, django_assert_num_queries):
    paper = make_paper(title=over.pop("title_here", TITLE), authors=ONE["authors"])
    facts = make_facts(**ONE | over)
    make_paper(title="Something Else Altogether", authors="Other, Olga")
    assert identity.match(facts) is None
    with django_assert_num_queries(
        6
    ):  # candidates, their names and arXiv ids, the whole paper and what hangs on it
        assert [match.paper for match in identity.suspect_all([facts] * 3)] == [paper] * 3
    entry = make_entry(title=facts.title, author=facts.authors, year=str(facts.year))
    assert (entry.found, entry.paper) == ("possible", paper)
    assert entry.reason.startswith("Perhaps already here: ")


@pytest.mark.django_db
def test_two_arxiv_ids_are_never_suspected_and_entries_suspect_each_other():
    make_paper([("arxiv", "2401.00001")], title=TITLE, authors=ONE["authors"])
    text = bib_entry(title=TITLE, author=ONE["authors"], eprint="2401.00002")
    text += bib_entry(title="Taking Away Much More", author="Other, Olga")
    text += bib_entry(title="Taking Away Much Moer", author="Other, Olga")
    entries = list(intake.submit(text, who=None).entries.all())
    assert [entry.found for entry in entries] == ["new", "new", "possible"]
    assert entries[2].reason.startswith("Perhaps the same as entry 2 of this submission: titles alike")


@pytest.mark.django_db
def test_a_moderator_sees_both_and_decides(client, ada, ben):
    technique = make_technique()
    paper = make_paper([("arxiv", "2401.00001")], [technique], title=TITLE, authors=ONE["authors"])
    published = {"title": "Adding Up Less", "author": ONE["authors"], "year": "2025", "doi": "10.1234/sums"}
    merged, kept = make_entry(ben, **published), make_entry(ben, **published | {"doi": "10.1234/other"})
    for user, address in [(ada, "/moderation"), (ben, f"/submissions/{merged.submission_id}")]:
        client.force_login(user)
        page = client.get(address)
        assert "same title but for a sub-title, same authors" in text_of(page)
        assert "<mark>2024</mark>" in page.content.decode() and "<mark>2025</mark>" in page.content.decode()
    moderation.merge(merged, paper, who=ada)
    assert [str(name) for name in paper.identifiers.all()] == ["arxiv:2401.00001", "doi:10.1234/sums"]
    assert moderation.accept(kept, who=ada, techniques=[technique]) != paper
    assert Paper.objects.count() == 2


@pytest.mark.django_db
def test_hundreds_of_like_titles_cost_no_more_than_a_few_each():
    text = "".join(bib_entry(title=f"A Survey of Long Sums, Part {number}") for number in range(800))
    assert intake.submit(text, who=None).entries.filter(found="new").count() == 800
