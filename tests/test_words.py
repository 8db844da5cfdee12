"""What somebody typed, read into terms, and what each kind of term finds."""

from urllib.parse import urlencode

import pytest
from django.http import QueryDict

from explorer import words
from explorer.search import Search
from explorer.words import Term
from tests.making import make_claim, make_paper, make_technique
from tests.making_runs import make_measurement, make_run

DONE = {"status": "done", "finished": "2026-01-02T03:04:05Z", "preset": "full", "device": "cuda"}


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ('"" : - *', ()),
        ("two words", ((Term("two"), Term("words")),)),
        ('-"not this" or that', ((Term("not this", phrase=True, negated=True),), (Term("that"),))),
        ('author:"van der Maaten"', ((Term("van der Maaten", "author", phrase=True),),)),
        ("AUTHOR:dao -title:flash*", ((Term("dao", "author"), Term("flash", "title", begins=True, negated=True)),)),
        ("BERT: pre-training", ((Term("BERT:"), Term("pre-training")),)),
        ("bert:large", ((Term("bert large"),),)),
        ('"open to the end', ((Term("open to the end", phrase=True),),)),
        ("C++ 2:4 -", ((Term("C++"), Term("2:4")),)),
        ("year:2022..2024", ((Term("2022..2024", "year"),),)),
    ],
)  # fmt: skip
def test_reading(text, terms):
    assert words.read(text) == terms


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("author:", 'Nothing follows "author:"; write for example author:"van der Maaten".'),
        ("sparse year: cuts", 'Nothing follows "year:"; write for example year:2022..2024.'),
        ("ab*", '"ab*" begins too many words: give 3 letters or more.'),
        ("w " * 41, "That is more than 40 words: leave some out."),
    ],
)
def test_what_cannot_be_read_says_why(text, told):
    with pytest.raises(words.UnreadableError) as refused:
        words.read(text)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("typed", "asked"),
    [("quant", "quant*"), ("sparse quant", "sparse quant*"), ("author:dao", "author:dao*"), ("qu", "qu"),
     ("quant ", "quant "), ('"quant', '"quant'), ("quant*", "quant*"), ("", ""), ("year:2023", "year:2023")],
)  # fmt: skip
def test_the_last_word_of_who_still_types_may_be_a_beginning(typed, asked):
    data = words.as_typed(QueryDict(urlencode({"q": typed, "typing": "1"})))
    assert data.dict() == {"q": asked}


def found(query):
    asked = Search(QueryDict(query))
    assert asked.is_valid(), asked.errors
    return {paper.key for paper in asked.every()}


@pytest.fixture
def shelf(db):
    """Four papers that differ in all that can be asked for."""
    lora = make_technique(slug="lora", name="LoRA", axis="training", position=1)
    make_technique(slug="cache", name="KV cache", axis="inference", position=2)
    make_paper(
        key="maaten", title="Quantization of maps", authors="van der Maaten, Laurens", venue="JMLR", year=2021
    )
    make_paper(
        key="lukasz",
        title="Attention",
        authors="Kaiser, Łukasz",
        venue="NeurIPS",
        techniques=[lora],
        year=2022,
    )
    make_paper(
        key="muller", title="Naïve caches", authors="Müller, Zoë", code_url="https://example.org", year=2023
    )
    make_paper(key="cache", title="Halving the KV cache", year=2019)
    make_paper(
        key="other", title="Carpets", abstract="Maaten is cited, attention too.", venue="ICLR", year=2024
    )


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("maaten", "maaten other"),
        ("author:maaten", "maaten"),
        ('author:"van der maaten"', "maaten"),
        ("author:der", "maaten"),
        ("-author:maaten maaten", "other"),
        ("lukasz", "lukasz"),
        ("ŁUKASZ", "lukasz"),
        ("muller", "muller"),
        ("author:zoe", "muller"),
        ("naive cache", "muller"),
        ("naïve", "muller"),
        ("title:attention", "lukasz"),
        ("attention", "lukasz other"),
        ("quant*", "maaten"),
        ("quantizat*", "maaten"),
        ("quantization*", "maaten"),
        ("carpet*", "other"),
        ("carpeti*", "other"),
        ("author:mull*", "muller"),
        ("author:mül*", "muller"),
        ("zzz*", ""),
        ("kv-cach*", "cache"),
        ("kv-caches*", "cache"),
        ("the*", ""),
        ("venue:jmlr", "maaten"),
        ('venue:"NeurIPS"', "lukasz"),
        ("axis:training", "lukasz"),
        ('axis:"training & tuning"', "lukasz"),
        ("technique:lora", "lukasz"),
        ('technique:"kv cache"', ""),
        ("year:2022..2023", "lukasz muller"),
        ("-year:..2022", "muller other"),
        ("attention year:2024", "other"),
        ("venue:jmlr or author:zoe", "maaten muller"),
        ("the", "maaten lukasz muller cache other"),
        ("-the carpets", "other"),
    ],
)
def test_words_and_fields(shelf, query, keys):
    assert found(urlencode({"q": query})) == set(keys.split())


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("q=venue:Nature", 'No venue here is called "Nature".'),
        ("q=axis:speed", 'No axis here is called "speed".'),
        ("q=technique:magic", 'No technique here is called "magic".'),
        ("q=year:soon", "Give a year as 2023, or a span as 2022..2024."),
        ("q=ab*", '"ab*" begins too many words: give 3 letters or more.'),
        ("venue=Nature", 'No venue here is called "Nature"; write for example "ICLR".'),
        ("hardware=abacus", 'No hardware here is called "abacus"; see /workers and /runs.'),
        ("speedup=fast", "Give a range as 2.., ..0.5 or 1.5..3."),
        ("speedup=3..2", "The span 3 to 2 is empty: put the smaller end first."),
        ("bits=" + "9" * 29, "9" * 29),
    ],
)
def test_bad_words_and_ranges_are_errors_of_their_field(shelf, query, told):
    asked = Search(QueryDict(query))
    if told.isdigit():  # large, but a number
        assert asked.is_valid()
    else:
        assert not asked.is_valid()
        assert asked.errors == {query.split("=")[0]: [told]}


def measured(key, **of):
    paper = make_paper(key=key)
    claim = make_claim(paper, better=of.pop("better", "higher"))
    run = make_run(paper=paper, device_name=of.pop("device_name", "NVIDIA H100"), **DONE)
    of = {"metric": "speedup_x", "verdict": "reproduced", "low": of["value"], "high": of["value"]} | of
    return make_measurement(run, claim=claim, **of)


@pytest.mark.django_db
def test_ranges_of_measured_numbers_and_the_largest_gain():
    measured("double", value=2.0)
    measured("triple", value=3.0, device_name="NVIDIA H200")
    measured("half", metric="latency_ratio", value=0.125, better="lower")
    measured("broken", value=50.0, verdict="invalid")
    make_paper(key="unmeasured")
    assert found("speedup=2..") == {"double", "triple"}
    assert found("speedup=..2.5") == {"double"}
    assert found("speedup=3") == {"triple"}
    assert found("hardware=NVIDIA+H200") == {"triple"}
    asked = Search(QueryDict("sort=gain"))
    assert asked.is_valid()
    assert [paper.key for paper in asked.every()] == ["half", "triple", "double", "broken", "unmeasured"]
