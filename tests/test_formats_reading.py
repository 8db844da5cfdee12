"""RIS, CSL-JSON and lists of identifiers, alone and mixed: read, recognised, and every reference accounted for."""

import json

import pytest

from papers import corpus_files, csl, intake, ris
from tests.making import bib_entry, make_facts

CORPUS = corpus_files.read()
SLUGS = {technique.slug for technique in CORPUS.techniques}


def read(text):
    return intake.read(text, {"sparse-sums"})


def told(text):
    """Line, format, title or faults of each reference."""
    return [(each.line, each.format, each.facts.title or each.faults) for each in read(text)]


@pytest.mark.parametrize("write", [ris.write, csl.write], ids=["RIS", "CSL-JSON"])
def test_the_whole_corpus_survives_export_import_and_export(write):
    written = "".join(write(CORPUS.papers))
    readings = intake.read(written, SLUGS)
    assert len(readings) == len(CORPUS.papers)
    assert [each.faults for each in readings if each.faults] == []
    assert "".join(write(each.facts for each in readings)) == written


RIS = """TY  - CPAPER
A1  - de Sum, Ida, Jr.
AU  - Made, Max
T1  - Adding Up
  on Two Lines
BT  - Proceedings of Nothing
Y1  - 2024/May/02
DO  - https://doi.org/10.5555/ABC
UR  - https://dl.acm.org/doi/10.5555/abc
L1  - https://arxiv.org/pdf/2401.00001v3
N1  - {A note} with $ signs
SN  - 1234-567X
TI  - Another Title
XX  - unknown
"""


def test_ris_of_other_programs():
    [reading] = read(RIS + "ER  -")
    facts = reading.facts
    assert reading.faults == []
    assert (facts.title, facts.authors) == ("Adding Up on Two Lines", "de Sum, Jr., Ida and Made, Max")
    assert (facts.kind, facts.venue, facts.year, facts.month) == (
        "inproceedings",
        "Proceedings of Nothing",
        2024,
        5,
    )
    assert facts.identifiers == [["arxiv", "2401.00001"], ["doi", "10.5555/abc"]]
    assert facts.details == {"note": "{A note} with $ signs", "issn": "1234-567X"}
    assert reading.notes == [
        "line 13: title is given twice; that of line 4 is kept, “Another Title” is not.",
        "line 1: fields that have no place here were left out: xx.",
    ]


def test_every_broken_ris_record_is_told_and_sinks_no_other():
    text = "AU  - Orphan, Ida\nTI  - No Type\nER  - \n\n" + RIS + RIS + "\n10.5555/after\n"
    text += "TY  - JOUR\nTI  - No Author\nPY  - soon\nER  - \n"
    readings = read(text)
    assert [(each.line, each.format, bool(each.faults)) for each in readings] == [
        (1, "ris", True),
        (5, "ris", False),
        (19, "ris", False),
        (34, "doi", True),
        (35, "ris", True),
    ]
    assert readings[0].faults == [
        "line 1: a RIS record begins with its type, such as TY  - JOUR; add that line."
    ]
    assert readings[1].notes[0] == "line 5: the record does not end with ER  - ."
    assert readings[4].faults == [
        "line 35: no author; add a line AU  - Last, First for each.",
        "line 37: the year “soon” is not a number; write PY  - 2024.",
    ]


def item(**over):
    return {"id": "a", "type": "book", "title": "A", "author": [{"family": "Sum"}], "issued": "2024"} | over


def test_csl_of_other_programs():
    [reading] = read(
        json.dumps(
            {
                "references": [
                    item(
                        issued={"date-parts": [["2024", "5"]]},
                        author=[
                            {"family": "Sum", "given": "Ida", "dropping-particle": "de", "suffix": "Jr."},
                            {"literal": "Sand and Sons, Inc"},
                        ],
                        DOI="10.5555/ABC",
                        custom={"a": 1},
                        title="Bad \ud800 \0 {signs}",
                    )
                ]
            }
        )
    )
    facts = reading.facts
    assert (reading.faults, facts.title) == ([], "Bad ? {signs}")
    assert (facts.authors, facts.year, facts.month) == ("de Sum, Jr., Ida and Sand & Sons Inc", 2024, 5)
    assert facts.identifiers == [["doi", "10.5555/abc"]]


def test_every_broken_csl_item_is_told_and_sinks_no_other():
    sound = json.dumps(item())
    broken = '{"id": "b", "title": "B" "author": [{"family": "Sum"}, {"family": "Made"}]}'
    twice = sound[:-1] + ', "title": "Second"}'
    text = f"[{sound},\n{broken},\n{twice},\n{json.dumps(item(title=''))},\n{{"
    readings = read(text)
    assert [(each.line, each.facts.title, each.faults) for each in readings] == [
        (1, "A", []),
        (
            2,
            "",
            [
                "line 2: this is no JSON from here on (Expecting ',' delimiter); "
                "look for a missing comma, quote or brace."
            ],
        ),
        (3, "A", []),
        (4, "", ['line 4: no title; add "title": "...".']),
        (
            5,
            "",
            [
                "line 5: this is no JSON from here on (Expecting property name enclosed in double quotes); "
                "look for a missing comma, quote or brace."
            ],
        ),
    ]
    assert readings[2].notes == [
        "line 3: title is given twice; the first is kept.",
    ]


@pytest.mark.parametrize(
    ("line", "identifiers"),
    [
        ("2401.00001", [["arxiv", "2401.00001"]]),
        ("arXiv: 2401.00001v7 [cs.LG]", [["arxiv", "2401.00001"]]),
        (
            "  * https://www.arxiv.org/pdf/2401.00001v2.pdf, hep-th/9901001v1",
            "arxiv 2401.00001 hep-th/9901001",
        ),
        ("3. arxiv.org/abs/2401.00001; doi:10.5555/A.b.", "arxiv 2401.00001 doi 10.5555/a.b"),
        ("[Title](https://openreview.net/forum?id=abcDEF123&noteId=x)", [["openreview", "abcDEF123"]]),
        ("https://aclanthology.org/P19-1001.pdf and 2020.acl-main.1", "acl P19-1001 2020.acl-main.1"),
        ("https://dl.acm.org/doi/abs/10.1145/12.34?casa=1", [["doi", "10.1145/12.34"]]),
        ("10.1016/0004-3702(96)90017-3).", [["doi", "10.1016/0004-3702(96)90017-3"]]),
        ("10.48550/arXiv.2401.00001, 2401.00001", [["arxiv", "2401.00001"]]),
        ("https://blog.example.org/post.", [["url", "https://blog.example.org/post"]]),
    ],
)
def test_identifiers_in_a_line(line, identifiers):
    if isinstance(identifiers, str):
        scheme = ""
        words, identifiers = identifiers.split(), []
        for word in words:
            if word in {"arxiv", "doi", "acl"}:
                scheme = word
            else:
                identifiers.append([scheme, word])
    readings = read(line)
    assert [name for each in readings for name in each.facts.identifiers] == identifiers
    assert all(each.can_be_completed for each in readings)


def test_what_an_identifier_tells_is_read():
    (arxiv, acl, doi) = (each.facts for each in read("2205.14135v2\nP19-1001\n10.5555/x"))
    assert (arxiv.year, arxiv.month, arxiv.venue, arxiv.kind) == (2022, 5, "arXiv", "misc")
    assert (acl.year, doi.year, doi.venue) == (2019, None, "")


def test_a_line_of_a_list_that_names_nothing_is_told():
    assert told("# My list\n2401.00001\n\n2213.00001\n") == [
        (
            2,
            "arxiv",
            ["line 2: only its arXiv id 2401.00001 is given; title and authors are to be completed."],
        ),
        (
            4,
            "line",
            [
                "line 4: no DOI, arXiv id, link or entry is recognised here; "
                "add one to the line, or complete the entry by hand."
            ],
        ),
    ]


def test_everything_mixed_in_one_box():
    text = "\ufeffHello, please add:\r\n10.5555/x\r\n" + bib_entry().replace("\n", "\r\n")
    text += RIS.replace("\n", "\r\n") + "ER  - \r\n\r\n"
    text += json.dumps([item(), item(title="B")], indent=1).replace("\n", "\r\n") + "\r\n"
    text += "https://openreview.net/forum?id=abcDEF123\r\n@misc{open, title = {Open\r\n\r\n2401.00009\r\n"
    lines = text.split("\r\n")
    assert [(each.format, lines[each.line - 1]) for each in read(text)] == [
        ("doi", "10.5555/x"),
        ("bibtex", "@misc{typed,"),
        ("ris", "TY  - CPAPER"),
        ("csl", " {"),
        ("csl", " {"),
        ("openreview", "https://openreview.net/forum?id=abcDEF123"),
        ("bibtex", "@misc{open, title = {Open"),
        ("arxiv", "2401.00009"),
    ]


def test_a_list_after_an_empty_line_is_not_swallowed_by_an_entry_that_never_ends():
    text = "@misc{broken, title = {No end\nand more\n\n10.5555/one\n\narXiv:2401.01234v2\n"
    broken, one, two = intake.read(text, set())
    assert (broken.raw, broken.facts.identifiers) == ("@misc{broken, title = {No end\nand more", [])
    assert "is never closed" in broken.faults[0]
    assert [(each.line, each.facts.identifiers) for each in (one, two)] == [
        (4, [["doi", "10.5555/one"]]),
        (6, [["arxiv", "2401.01234"]]),
    ]


def test_an_entry_of_bibtex_that_lacks_a_title_but_has_a_doi_can_be_completed():
    lacking, faulty, nameless = read(
        bib_entry(title=None, doi="10.5555/x") + bib_entry(year="x", doi="10.5555/y") + bib_entry(title=None)
    )
    assert [each.can_be_completed for each in (lacking, faulty, nameless)] == [True, False, False]


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        ("TY  - JOUR\n", "AU  - A, B\n"),
        ("TY  - JOUR\n", "a\n"),
        ("https://", "."),
        ("{", '"a":1,'),
        ("", "-a"),
    ],
    ids=["authors", "one value", "dots", "keys", "hyphens"],
)
def test_hostile_text_takes_no_more_than_linear_time(begin, piece):
    """A quarter of a megabyte of each; what was quadratic took minutes."""
    assert len(read(begin + piece * (2**18 // len(piece)))) == 1


def test_latex_is_read_in_bibtex_alone():
    title = r"{\'E}tude of $5 \& more"
    facts = make_facts(title=title)
    for write in (ris.write, csl.write):
        assert [each.facts.title for each in read("".join(write([facts])))] == [title]
