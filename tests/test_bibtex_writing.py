"""What Spectrum exports is LaTeX-safe, strict BibTeX, and reads back to the same facts and the same bytes."""

import random
from pathlib import Path

import bibtexparser
import pytest

from papers import bibtex, intake, latex, names
from tests.making import make_facts

DATA = Path(__file__).parent / "data"


def rich_facts():
    return make_facts(
        key="invented2024adding",
        kind="article",
        title='Adding 100% of $5 & #1: "GPU_Sums" in O(n^2) ~ {braces} \\ Größe – ½ π',
        authors="de la Vallée, Zoë and Łuk, Jr., Ján and The Sums Group",
        authors_complete=False,
        month=5,
        venue="Acta Summarum & Co.",
        abstract="It adds -- quickly.",
        url="https://example.org/a_b%20c#d",
        code_url="https://example.org/code",
        identifiers=[
            ["arxiv", "2205.00001"],
            ["doi", "10.5555/a_b(c)<d>"],
            ["doi", "10.5555/z"],
            ["openreview", "abcDEF123"],
        ],
        techniques=["sparse-sums"],
        verified=False,
        sources=["a list (arXiv id confirmed)", "known"],
        details={"pages": "1–10", "volume": "3"},
    )


def test_one_entry_as_it_is_written():
    facts = make_facts(
        key="invented2024adding", identifiers=[["arxiv", "2205.00001"]], venue="arXiv", month=1
    )
    assert bibtex.entry(facts) == (
        "@misc{invented2024adding,\n"
        "  title = {Adding Up Less},\n"
        "  author = {Invented, Ida and Made, Max},\n"
        "  year = {2024},\n"
        "  month = jan,\n"
        "  eprint = {2205.00001},\n"
        "  archivePrefix = {arXiv},\n"
        "  url = {https://arxiv.org/abs/2205.00001},\n"
        "}\n"
    )


def test_reading_back_gives_the_same_facts_and_the_same_bytes():
    facts = rich_facts()
    (reading,) = intake.read(bibtex.entry(facts), {"sparse-sums"})
    assert (reading.facts, reading.faults, reading.notes) == (facts, [], [])
    assert bibtex.entry(reading.facts) == bibtex.entry(facts)


def test_what_others_wrote_is_stable_after_one_export():
    once = [reading.facts for reading in intake.read((DATA / "odd.bib").read_text(), {"sparse-sums"})]
    again = intake.read("\n".join(bibtex.write(once)), {"sparse-sums"})
    assert [reading.facts for reading in again] == once


def test_bibtexparser_reads_it_without_an_error():
    library = bibtexparser.parse_string("\n".join(bibtex.write([rich_facts(), make_facts(key="other2024x")])))
    assert library.failed_blocks == []
    assert [entry.key for entry in library.entries] == ["invented2024adding", "other2024x"]


def test_inner_capitals_are_protected():
    assert latex.protected("FlashSums for LLMs in É") == r"{FlashSums} for {LLMs} in {\'E}"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (r"Erd{\H o}s", "Erdős"),
        (r"\'Ecole {\'{e}}t{\'e}", "École été"),
        (r"\v{c}esk\'{y}", "český"),
        (r"na{\"\i}ve", "naïve"),
        (r"{\O}re \aa ngstr\"om \ss", "Øre ångström ß"),
        (r"\textbf{Bold} and \emph{slanted}", "Bold and slanted"),
        (r"$\alpha \rightarrow \infty$", "α→∞"),
        ("a ``quote'' and~a tie", "a “quote” and a tie"),
        (r"50\% \& \_ \# \$", "50% & _ # $"),
        ("costs $5", "costs $5"),
        (r"\unknown{kept} \method: kept too", "kept method: kept too"),
    ],
)
def test_latex_becomes_plain_text(text, read):
    assert latex.plain(text) == read


@pytest.mark.parametrize("seed", range(50))
def test_plain_text_survives_latex(seed):
    chance = random.Random(seed)
    alphabet = "ab -–—`'“”\\{}$%&#_~^\"éßłåıÉğŠ .,@=(½π∞中"
    text = latex.squeeze("".join(chance.choice(alphabet) for _ in range(60)))
    assert latex.plain(latex.escape(text)) == text
    assert latex.plain(latex.protected(text)) == text


@pytest.mark.parametrize(
    ("typed", "read", "complete"),
    [
        ("Ida M. Invented and Max Made", "Invented, Ida M. and Made, Max", True),
        ("Ludwig van Sum", "van Sum, Ludwig", True),
        ("Sum, IV, Lu", "Sum, IV, Lu", True),
        ("{The Sums Group} and others", "The Sums Group", False),
        ("others", "", False),
        ("{Sums and Sons}", "Sums & Sons", True),
        (r"Ida Sum and \'Emile Zola and \v{S}um, Ann", "Sum, Ida and Zola, Émile and Šum, Ann", True),
        ("Solo", "Solo", True),
        ('Li, Hai "Helen" AND M{\\"u}ller, {\\\'E}.', 'Li, Hai "Helen" and Müller, É.', True),
    ],
)
def test_names(typed, read, complete):
    assert names.read(typed) == (read, complete)
    assert names.read(names.write(read, complete)) == (read, complete)
