"""Whatever is sent: nothing crashes, nothing is lost, and parsed + reported = found by an independent scan."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from papers import bibtex, csl, intake, ris
from papers.bibtex_splitting import by_bibtexparser, chunks, read_chunk
from papers.recognition import recognise
from tests import bibtex_texts
from tests.making import make_facts

SPEED = settings(max_examples=40, deadline=None)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
ANY = bibtex_texts.valid() | bibtex_texts.damaged() | bibtex_texts.adversarial()
TITLES = st.lists(bibtex_texts.VALUES, min_size=1, max_size=4)


@SPEED
@example("@misc{a, title = {x\n}\n\n  @misc{b, title = {y}}\n")
@example("@misc{a,\n title = \n{x\\\\},\n year = 2024}\n@misc{b, c = {\\}}}\n")
@given(ANY)
def test_well_formed_entries_are_read_as_bibtexparser_reads_them(text):
    parts = [part for chunk in chunks(text) for part in read_chunk(*chunk)]
    assert parts == list(by_bibtexparser(text))


@SPEED
@example("@article{{a, title={0 a@{.org}, title={0}}\n", "\n")
@given(bibtex_texts.damaged(), ENDS)
def test_parsed_and_reported_are_found(text, end):
    blocks = bibtex.read(text.replace("\n", end))
    references = [block for block in blocks if block.kind in {"entry", "failed"}]
    assert sum(bibtex_texts.heads(block.raw) for block in references) == bibtex_texts.heads(text)
    assert all(bibtex_texts.heads(block.raw) <= 1 for block in references)


@SPEED
@given(bibtex_texts.valid())
def test_what_is_well_formed_is_read(text):
    failed = [block for block in bibtex.read(text) if block.kind == "failed"]
    assert [block for block in failed if bibtex_texts.heads(block.raw)] == []


@SPEED
@example('[{"id": "a\\u0000", "title": "\\ud800\\u0000", "DOI": "10.5555/\\u0000"}]')
@given(ANY | st.text(st.characters(exclude_characters="\0"), max_size=60))
def test_any_text_is_an_answer_that_can_be_stored(text):
    for reading in intake.read(text, set()):
        facts = reading.facts
        stored = json.dumps([facts.to_json(), reading.notes, reading.faults], ensure_ascii=False)
        assert "\0" not in "".join(strings(json.loads(stored)))
        stored.encode()
        assert reading.faults or (
            facts.title and facts.year and (facts.authors or not facts.authors_complete)
        )


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


@SPEED
@given(TITLES, st.data())
def test_a_damaged_ris_record_takes_no_other_with_it(titles, data):
    pieces = list(ris.write(make_facts(title=f"T{at} {title}") for at, title in enumerate(titles)))
    at = data.draw(st.integers(0, len(pieces) - 1))
    pieces[at] = pieces[at][: data.draw(st.integers(len("TY  - "), len(pieces[at])))] + "\r\n"
    readings = intake.read("".join(pieces), set())
    assert len(readings) == len(titles)
    assert all(reading.facts.title.startswith(f"T{n}") for n, reading in enumerate(readings) if n != at)


@SPEED
@given(TITLES, st.data())
def test_a_damaged_csl_item_takes_no_other_with_it(titles, data):
    items = [json.dumps(csl.item(make_facts(title=f"T{at} {title}"))) for at, title in enumerate(titles)]
    at = data.draw(st.integers(0, len(items) - 1))
    items[at] = items[at].replace(data.draw(st.sampled_from([":", ",", '":', "}", "]"])), "", 1)
    readings = intake.read("[" + ",\n".join(items) + "]", set())
    assert len(readings) == len(titles)
    assert all(reading.facts.title.startswith(f"T{n}") for n, reading in enumerate(readings) if n != at)


@SPEED
@given(
    st.lists(st.sampled_from(["2401.00001", "10.5555/x", "words", "# note", "", "P19-1001 2020.acl-main.1"]))
)
def test_every_line_of_a_list_is_accounted_for(lines):
    recognised = recognise("\n".join(lines), 1000)
    expected = sum(len(line.split()) for line in lines if not line.startswith("#"))
    assert len(recognised.blocks) == expected
    assert len(recognised.remarks) == min(lines.count("# note"), 21)
