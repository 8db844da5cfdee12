"""What people send is kept as typed, one entry for each reference, and each is judged."""

import pytest

from papers import intake
from papers.models import Submission
from tests.making import bib_entry, make_paper, make_technique

UNRECOGNISED = (
    "No reference is recognised in it; send BibTeX, RIS, CSL-JSON, or a DOI, arXiv id or link on each line."
)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
def test_files_in_any_encoding(encoding):
    text = bib_entry(title="Größe und Maß", author="Élève, Zoë")
    assert intake.decode(text.encode(encoding)) == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_ascii_in_utf16_without_a_mark(encoding):
    """Its zeros make it valid UTF-8 too."""
    assert intake.decode(bib_entry().encode(encoding)) == bib_entry()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "There is nothing in it; paste or upload at least one reference."),
        (b" \r\n\t", "There is nothing in it; paste or upload at least one reference."),
        (b"@misc{a\0b}", "It holds bytes that are no text; save it as plain UTF-8 text and send it again."),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            "It holds bytes that are no text; save it as plain UTF-8 text and send it again.",
        ),
        (b"\xff\xfe\x00\xd8", "The file is not readable as text; save it as UTF-8 and send it again."),
        (b"a" * (5 * 2**20 + 1), "The text is 5.0 MB, and at most 5 MB fit; send it in parts."),
    ],
    ids=["empty", "blank", "zero byte", "picture", "broken UTF-16", "too large"],
)
def test_files_that_are_no_text_are_refused(data, sentence):
    with pytest.raises(intake.Refused) as refusal:
        intake.decode(data)
    assert str(refusal.value) == sentence


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "There is nothing in it; paste or upload at least one reference."),
        ("hello", UNRECOGNISED),
        ("@comment{hello}", UNRECOGNISED),
        ("@misc{\ud800}", "It holds bytes that are no text; save it as plain UTF-8 text and send it again."),
        ("@a{b}" * 10_001, "It holds more than 10,000 references; send it in parts."),
    ],
    ids=["empty", "no entry", "comment", "half a character", "too many"],
)
def test_a_submission_without_entries_is_refused_and_leaves_nothing(text, sentence):
    with pytest.raises(intake.Refused) as refusal:
        intake.submit(text, who=None)
    assert str(refusal.value) == sentence
    assert Submission.objects.count() == 0


@pytest.mark.django_db
def test_each_entry_is_judged(ben):
    make_technique()
    here = make_paper(title="Adding Up Less", identifiers=[("arxiv", "2205.00001")])
    texts = [
        bib_entry(title="Something New", keywords="sparse-sums"),
        bib_entry(title="Renamed", eprint="2205.00001v4"),
        bib_entry(title=None),
        bib_entry(title="Something new!"),
        bib_entry(title="Something Else"),
    ]
    text = "\r\n".join(texts)
    submission = intake.submit(text, who=ben, filename="my.bib", note="Please.")
    submission.refresh_from_db()
    assert (submission.submitted_by, submission.text, submission.filename, submission.note) == (
        ben,
        text,
        "my.bib",
        "Please.",
    )
    assert list(
        submission.entries.values_list("position", "line", "found", "reason", "paper", "decision")
    ) == [
        (1, 1, "new", "", None, "pending"),
        (2, 8, "known", "Already here: same arXiv id, 2205.00001.", here.pk, "pending"),
        (3, 15, "invalid", "line 15: no title; add title = {...}.", None, "pending"),
        (
            4,
            20,
            "known",
            "The same as entry 1 of this submission: same title and first author.",
            None,
            "pending",
        ),
        (5, 26, "new", "", None, "pending"),
    ]
    first = submission.entries.first()
    assert (first.fields["title"], first.fields["techniques"], first.fields["notes"]) == (
        "Something New",
        ["sparse-sums"],
        [],
    )
    assert first.raw == texts[0].strip()


@pytest.mark.django_db
def test_thousands_of_entries_take_a_few_queries(django_assert_max_num_queries):
    make_paper(title="Title 7")
    text = "".join(bib_entry(title=f"Title {number}", note="it’s") for number in range(2_000))
    with django_assert_max_num_queries(48):  # of which ten for each batch of 500
        submission = intake.submit(text, who=None)
    assert submission.entries.filter(found="new").count() == 1_999
    assert submission.entries.get(found="known").fields["title"] == "Title 7"
