"""Every block of a BibTeX text comes back, read or with what is wrong and where."""

import random
from pathlib import Path

import pytest

from papers import bibtex, intake
from tests.making import bib_entry

DATA = Path(__file__).parent / "data"


def test_what_people_really_send():
    blocks = bibtex.read((DATA / "odd.bib").read_text())
    assert [(block.kind, block.line, block.key) for block in blocks] == [
        ("stray", 1, ""),
        ("string", 3, "joss"),
        ("preamble", 4, ""),
        ("comment", 5, ""),
        ("entry", 7, "Invented:2020"),
        ("entry", 19, "parens2021"),
        ("entry", 26, "volume2021"),
        ("entry", 28, "twice"),
        ("entry", 29, "twice"),
    ]


def test_facts_of_an_ornate_entry():
    ornate = intake.read((DATA / "odd.bib").read_text(), {"sparse-sums"})[0]
    assert ornate.faults == []
    assert ornate.facts.to_json() == {
        "key": "Invented:2020",
        "kind": "article",
        "title": "On Élèves, GPUs and O(n logn) — a Study",
        "authors": "Invented, Ida M. and Maćek, Łukasz and The Sums Group",
        "authors_complete": False,
        "year": 2020,
        "month": 6,
        "venue": "Journal of Invented Studies",
        "abstract": "",
        "url": "",
        "code_url": "",
        "identifiers": [["doi", "10.5555/sums.2020"]],
        "techniques": ["sparse-sums"],
        "verified": True,
        "sources": [],
        "details": {"pages": "1–10"},
    }
    assert ornate.notes == [
        "line 15: keywords that are no techniques here were left out: cooking.",
        "line 7: fields that have no place here were left out: owner.",
    ]


def test_crossref_gives_what_the_entry_lacks():
    child = intake.read((DATA / "odd.bib").read_text(), set())[1].facts
    assert (child.venue, child.year, child.authors) == (
        "Proceedings of Nothing",
        2021,
        "van der Berg, Jan and Knuth, III, Dee",
    )
    assert child.identifiers == [["arxiv", "2101.00001"]]


def test_repeated_fields_and_keys_are_kept_and_reported():
    first, second = intake.read((DATA / "odd.bib").read_text(), set())[-2:]
    assert (first.facts.title, second.facts.title) == ("First Title", "Same Key")
    assert first.notes == ["line 28: title is given twice; that of line 28 is kept, “Second Title” is not."]
    assert second.notes == ["line 29: the key twice is also that of line 28."]


def test_a_broken_entry_never_sinks_the_file():
    readings = intake.read((DATA / "broken.bib").read_text(), set())
    assert [(reading.line, reading.facts.title, reading.faults) for reading in readings] == [
        (1, "Sound One", []),
        (
            3,
            "",
            [
                "line 3: “@article{unclosed, title = {Never Closed, author = {Made, Ma” is not closed before the "
                "next entry; add the brace or quote."
            ],
        ),
        (5, "Sound Two", []),
        (7, "", ["line 8: title: a comma is missing before “author = {Made, Max}”."]),
        (13, "", ["line 13: the entry ends before this line; take away the brace too many."]),
        (15, "", ["line 15: this looks like an entry, but does not begin like @article{key,."]),
        (
            17,
            "",
            [
                'line 17: “@article{quote, title = "Open Quote, author = {Made, Max}, y” is not closed before the '
                "next entry; add the brace or quote."
            ],
        ),
        (19, "Sound Three", []),
        (21, "", ["line 21: “@misc{” is never closed; add the missing brace or quote."]),
    ]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"title": None}, "line 1: no title; add title = {...}."),
        (
            {"author": None},
            "line 1: no author; add author = {Last, First and Last, First}, or author = {others} when nobody is "
            "named.",
        ),
        ({"year": None}, "line 1: no year; add year = {2024}."),
        ({"year": "in press"}, "line 4: the year “in press” is not a number; write year = {2024}."),
        ({"year": "2024a"}, "line 4: the year “2024a” is not a number; write year = {2024}."),
        ({"year": "9999"}, "line 4: the year 9999 is not between 1900 and 2100."),
        (
            {"url": "javascript:alert(1)"},
            "line 5: url “javascript:alert(1)” is no web address; it must begin with https:// or http://.",
        ),
        (
            {"code": "data:text/html,x"},
            "line 5: code “data:text/html,x” is no web address; it must begin with https:// or http://.",
        ),
        # Composed, each of these is three letters.
        ({"journal": "\ufb2c" * 101}, "line 5: journal has 303 letters; write at most 300."),
        ({"abstract": "x" * 20_001}, "line 5: abstract has 20,001 characters; the most that fits is 20,000."),
    ],
)
def test_a_fault_names_its_line_and_the_remedy(fields, fault):
    assert [reading.faults for reading in intake.read(bib_entry(**fields), set())] == [[fault]]


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        (
            {"month": "Spring"},
            "line 5: “Spring” is no month and was left out; write month = may or month = 5.",
        ),
        (
            {"doi": "see page 3"},
            'line 5: doi: "see page 3" is not a DOI such as 10.1000/182. It was left out.',
        ),
        (
            {"url": "example.org/paper"},
            "line 5: url “example.org/paper” was left out; it must begin with https:// or http://.",
        ),
        ({"crossref": "volume"}, "line 5: crossref: no entry volume here."),
    ],
)
def test_an_oddity_is_noted_and_keeps_nothing_out(fields, note):
    (reading,) = intake.read(bib_entry(**fields), set())
    assert (reading.faults, reading.notes) == ([], [note])


@pytest.mark.parametrize(
    ("typed", "month"),
    [("jun", 6), ("June", 6), ("{06}", 6), ('"May 12"', 5), ("may # {--} # jun", 5), ("{13}", None)],
)
def test_months(typed, month):
    text = bib_entry().replace("year =", f"month = {typed},\n  year =")
    assert intake.read(text, set())[0].facts.month == month


@pytest.mark.parametrize(
    ("fields", "venue", "identifiers"),
    [
        ({"eprint": "2205.00001v2", "archivePrefix": "arXiv"}, "arXiv", [["arxiv", "2205.00001"]]),
        ({"journal": "arXiv preprint arXiv:2205.00001"}, "arXiv", [["arxiv", "2205.00001"]]),
        ({"journal": "CoRR", "volume": "abs/2205.00001"}, "arXiv", [["arxiv", "2205.00001"]]),
        ({"doi": "10.48550/arXiv.2205.00001"}, "arXiv", [["arxiv", "2205.00001"]]),
        ({"howpublished": r"\url{https://arxiv.org/pdf/2205.00001}"}, "", [["arxiv", "2205.00001"]]),
        (
            {"booktitle": "NoConf", "url": "https://openreview.net/forum?id=abcDEF123"},
            "NoConf",
            [["openreview", "abcDEF123"]],
        ),
        ({"url": "https://aclanthology.org/2020.acl-main.7/"}, "", [["acl", "2020.acl-main.7"]]),
    ],
)
def test_identifiers_are_found_wherever_they_stand(fields, venue, identifiers):
    (reading,) = intake.read(bib_entry(**fields), set())
    assert (reading.facts.venue, reading.facts.identifiers) == (venue, identifiers)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems_give_the_same_lines(end):
    text = (DATA / "odd.bib").read_text().replace("\n", end)
    assert [block.line for block in bibtex.read(text)] == [1, 3, 4, 5, 7, 19, 26, 28, 29]


@pytest.mark.parametrize("seed", range(60))
def test_parsed_and_failed_are_found(seed):
    """Damage entries at random, but leave each @ at the beginning of its line: as many come back as went in."""
    chance = random.Random(seed)
    entries = [bib_entry(title=f"Title {number}", note='{a} "b"') for number in range(12)]
    damaged = [_damage(text, chance) if chance.random() < 0.6 else text for text in entries]
    blocks = bibtex.read("".join(damaged))
    assert sum(block.kind in {"entry", "failed"} for block in blocks) == 12
    assert [block.line for block in blocks if block.kind in {"entry", "failed"}] == _lines_of_entries(damaged)


def _damage(text, chance):
    """Take out, double or swap for another a few of the signs after `@misc{`."""
    signs = list(text[6:])
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(signs))
        signs[place] = chance.choice(["", signs[place] * 2, *'{}",=\\#'])
    return text[:6] + "".join(signs).rstrip("\n") + "\n"


def _lines_of_entries(texts):
    return [1 + "".join(texts[:number]).count("\n") for number in range(len(texts))]


@pytest.mark.parametrize(
    "text",
    [
        "@misc{a, title = {" + "x" * 1_000_000 + "}, author = {Made, Max}, year = 2020}",
        "@misc{a, title = {" + "{" * 50_000 + "x" + "}" * 50_000 + "}, author = {Made, Max}, year = 2020}",
        "@misc{a, title = {" + "{" * 200_000,
        '@misc{a, title = "' + "{x} " * 100_000,
        "@misc{a, title = " + "b # " * 100_000 + "c}",
        "@string{a = {"
        + "x" * 999
        + "}}"
        + "".join(f"@string{{a{n} = a{n - 1 or ''} # a{n - 1 or ''}}}" for n in range(1, 40))
        + "@misc{b, title = a39}",
        "@misc{a}" + "b" * 500_000,
        "@misc{a}\nb{" + " " * 500_000,
    ],
    ids=[
        "long field",
        "deep",
        "unclosed braces",
        "unclosed quote",
        "joined",
        "doubling strings",
        "long word",
        "spaces",
    ],
)
def test_hostile_text_is_an_answer_and_not_a_crash(text):
    readings = intake.read(text, set())
    assert [bool(reading.faults) for reading in readings] == [True] * len(readings) != []


def test_thousands_of_entries_are_all_read():
    text = "".join(bib_entry(title=f"Title {number}") for number in range(5_000))
    readings = intake.read(text, set())
    assert [reading.facts.title for reading in readings] == [f"Title {number}" for number in range(5_000)]
