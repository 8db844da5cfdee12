"""Whatever a paper is called, and whoever wrote it: three readers of BibTeX find it again, and so do we."""

import bibtexparser
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pybtex import errors
from pybtex.database import parse_string
from pylatexenc.latex2text import LatexNodes2Text

from papers import bibtex, intake, latex
from tests.making import make_facts

# Text as intake stores it: what people type, without line breaks, control characters or half characters.
LETTERS = st.characters(exclude_categories=("Cs", "Cc"))
SIGNS = "{}\\$%&#_~^@\"'`,=-–—“”()<>/ éßłøıÅğŠ∞π中"
HARD = st.sampled_from([*SIGNS, "and ", " AND ", "@a{", "\\'", "$x$"])
TEXT = st.lists(HARD | LETTERS, min_size=1, max_size=30).map("".join).map(latex.squeeze).filter(bool)
PART = TEXT.map(lambda text: latex.squeeze(text.replace(",", " "))).filter(
    lambda text: bool(text) and "and" not in text.split(" ")
)
PEOPLE = st.lists(PART | st.builds("{}, {}".format, PART, PART), min_size=1, max_size=4).map(" and ".join)
SPEED = settings(max_examples=300, deadline=None)


@pytest.fixture(autouse=True)
def strict():
    errors.set_strict_mode(True)


def by_bibtexparser(text):
    library = bibtexparser.parse_string(text)
    assert library.failed_blocks == []
    [entry] = library.entries
    return {field.key.lower(): field.value for field in entry.fields}


def by_pybtex(text):
    [entry] = parse_string(text, "bibtex").entries.values()
    return {name.lower(): value for name, value in entry.fields.items()}


@SPEED
@example("O(n^2) at $100K: {GPT}–4 “is” @ {all} \\you 100% & #1")
@example("mail me@x.org or @é")
@given(TEXT)
def test_any_title_is_found_again(title):
    text = bibtex.entry(make_facts(key="any2024title", title=title))
    for parsed in (by_bibtexparser(text), by_pybtex(text)):
        assert latex.plain(parsed["title"]) == title
    [reading] = intake.read(text, set())
    assert (reading.faults, reading.facts.title) == ([], title)
    assert bibtex.entry(reading.facts) == text


@SPEED
@example("Sand AND Sons, Ida and others and de la Vallée, Zoë and The {Group} @ {X}")
@given(PEOPLE)
def test_any_author_is_found_again(authors):
    text = bibtex.entry(make_facts(key="any2024author", authors=authors))
    parsed = by_bibtexparser(text)["author"]
    assert latex.plain(parsed) == authors
    people = parse_string(text, "bibtex").entries["any2024author"].persons["author"]
    assert [latex.plain(str(person)) for person in people] == authors.split(" and ")
    [reading] = intake.read(text, set())
    assert (reading.faults, reading.facts.authors) == ([], authors)
    assert bibtex.entry(reading.facts) == text


@pytest.mark.parametrize(
    "title", ["Größe in Łódź: 5% & “more” – naïve, Čapek’s #1", "∞-former: Π and Σ of 中文"]
)
def test_another_decoder_of_latex_reads_the_same_title(title):
    written = by_bibtexparser(bibtex.entry(make_facts(key="any2024title", title=title)))["title"]
    assert LatexNodes2Text().latex_to_text(written) == title
