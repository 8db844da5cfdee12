"""One search: what it finds and counts equals a count by hand, and bad input is said by name."""

import random
from urllib.parse import urlencode

import pytest
from django.http import Http404, QueryDict

from explorer.facets import EVIDENCE, FACETS
from explorer.search import SORTS, Search
from papers.models import AXES
from reproduce.recipes import spec
from tests.making import make_claim, make_paper, make_technique
from tests.making_runs import make_measurement, make_run

pytestmark = pytest.mark.django_db


def search(query=""):
    found = Search(QueryDict(query))
    assert found.is_valid(), found.errors
    return found


def keys(query=""):
    return [paper.key for paper in search(query).papers()]


def found(query):
    return sorted(keys(query))


def make_field():
    """Twelve papers over all axes and some years; some with claims, some measured, one with a recipe."""
    techniques = [
        make_technique(slug=f"way-{axis}-{n}", name=f"Way {n}", axis=axis, position=n)
        for n, axis in enumerate([*AXES, "inference"])
    ]
    chosen = random.Random(7)
    recipe = spec.load_all()[0].paper.split(":", 1)
    for n in range(12):
        paper = make_paper(
            key=f"paper{n:02}",
            title=f"{'Sparse' if n % 2 else 'Dense'} sums, part {n}",
            year=2019 + n % 4,
            techniques=chosen.sample(techniques, n % 3),
            identifiers=[recipe] if n == 5 else [],
        )
        if n % 3 == 0:
            make_claim(paper)
        if n % 4 == 0:
            verdict = ["reproduced", "same_direction", "inconclusive"][n // 4]
            run = make_run(paper=paper, preset="full", device="cuda", **DONE)
            make_measurement(run, verdict=verdict, headline=True)
        if n == 1:
            make_measurement(make_run(paper=paper, preset="smoke", **DONE), verdict="not_comparable")
        yield paper


DONE = {"status": "done", "finished": "2026-01-02T03:04:05Z"}


def evidence_by_hand(paper, recipe_papers):
    measured = [m for run in paper.runs.all() if run.preset == "full" for m in run.measurements.all()]
    yield from ["claims"] * bool(paper.claims.count())
    yield from ["recipe"] * (paper.key in recipe_papers)
    yield from ["measured"] * bool(measured)
    yield from (m.verdict for m in measured)
    yield from ["untested"] * bool(paper.claims.count() and not measured)


def hardware_by_hand(paper):
    runs = [run for run in paper.runs.all() if run.preset == "full" and run.measurements.count()]
    return {run.device_name for run in runs} - {""}


@pytest.fixture
def by_hand(db):
    """{key: {facet: values}} of every paper, gathered in Python."""
    return {
        paper.key: {
            "axis": {t.axis for t in paper.techniques.all()},
            "technique": {t.slug for t in paper.techniques.all()},
            "year": {str(paper.year)},
            "venue": {paper.venue} - {""},
            "code": {"yes"} if paper.code_url else set(),
            "evidence": set(evidence_by_hand(paper, {"paper05"})),
            "hardware": hardware_by_hand(paper),
        }
        for paper in make_field()
    }


def asked_at_random(chosen, by_hand):
    values = {facet: sorted(set().union(*(each[facet] for each in by_hand.values()))) for facet in FACETS}
    asked = {
        facet: chosen.sample(of, min(chosen.choice([0, 0, 1, 2]), len(of))) for facet, of in values.items()
    }
    return asked | {"year": asked["year"][:1], "code": asked["code"][:1]}


def matching(by_hand, asked, without=None):
    wanted = {facet: set(values) for facet, values in asked.items() if values and facet != without}
    return {
        key for key, has in by_hand.items() if all(has[facet] & values for facet, values in wanted.items())
    }


def test_any_combination_finds_and_counts_what_a_count_by_hand_does(by_hand):
    chosen = random.Random(20261123)
    for _ in range(60):
        asked = asked_at_random(chosen, by_hand)
        query = QueryDict(mutable=True)
        for facet, values in asked.items():
            query.setlist(facet, values)
        assert set(keys(query.urlencode())) == matching(by_hand, asked), query
        for facet, choices in search(query.urlencode()).facets().items():
            others = matching(by_hand, asked, without=facet)
            counts = {choice.value: choice.count for choice in choices}
            assert counts == {
                value: sum(value in by_hand[key][facet] for key in others) for value in counts
            }, (facet, query)


def test_facets_offer_every_axis_and_every_evidence_even_without_papers():
    facets = search().facets()
    assert [choice.value for choice in facets["axis"]] == list(AXES)
    assert [choice.value for choice in facets["evidence"]] == list(EVIDENCE)
    assert {choice.count for choice in facets["axis"] + facets["evidence"]} == {0}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("query", ["", "q=sums"])
def test_no_order_drops_or_repeats_a_paper(by_hand, sort, query):
    assert found(f"{query}&sort={sort}") == sorted(by_hand)


def test_orders(by_hand):
    assert keys("sort=newest&year=2022") == ["paper03", "paper07", "paper11"]
    assert set(keys("sort=measured")[:3]) == {"paper00", "paper04", "paper08"}
    make_paper(key="near", title="A matter of cuts", abstract="Dense sums upon sums.", year=2024)
    make_paper(key="far", title="Dense sums", year=1999)
    assert keys("q=dense sums")[:2] == ["paper00", "paper04"]  # both words in the title, and measured
    assert keys("q=dense sums")[-2:] == ["far", "near"]  # in the title goes before newer


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("quantisation", ["one"]),  # stemmed
        ("quantising", ["one"]),
        ("jonesová", ["one"]),
        ("jonesová quantised", ["one"]),  # a name and a stemmed word together
        ("attention is all you need", ["two"]),
        ('"all you need"', ["two"]),
        ('"need attention"', []),
        ("attention -need", ["one"]),
        ("-quantised", ["two"]),
        ("quantised or need", ["one", "two"]),
        ("need-attention", []),
        ("you-need", ["two"]),  # hyphens in the query, none in the title
        ("-you-need", ["one"]),
        ("sums", []),
        ('"', []),
        ("((&|!:*", []),
        ("a\\b'c", []),
    ],
)
def test_words(query, wanted):
    make_paper(key="one", title="Quantised attention", authors="Jonesová, Jana")
    make_paper(key="two", title="Attention is all you need", authors="Will, Wanda")
    assert found(urlencode({"q": query})) == wanted


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("year=2020", [2020]),
        ("year=2020..2021", [2020, 2021]),
        ("year=2021..", [2021, 2022]),
        ("year=..2019", [2019]),
        ("year_from=2021", [2021, 2022]),
        ("year_to=2019", [2019]),
        ("year=2019..2021&year_from=2020", [2020, 2021]),
    ],
)
def test_years(query, wanted):
    for year in range(2019, 2023):
        make_paper(year=year)
    assert sorted(paper.year for paper in search(query).papers()) == wanted


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("axis=speed", "axis"),
        ("technique=no-such-way", "technique"),
        ("year=soon", "year"),
        ("year=20202021", "year"),
        ("year=..", "year"),
        ("year=0001", "year"),
        ("year=2022..2020", "year"),
        ("year_from=2022&year_to=2020", "year_to"),
        ("year_from=1", "year_from"),
        ("year_to=99999999999999999999", "year_to"),
        ("evidence=rumour", "evidence"),
        ("sort=random", "sort"),
        ("page=0", "page"),
        ("page=x", "page"),
        ("page=1000000000", "page"),
        ("q=nul%00byte", "q"),
        (f"q={'long ' * 70}", "q"),
    ],
)
def test_bad_input_is_an_error_of_its_field(query, field):
    bad = Search(QueryDict(query))
    assert not bad.is_valid()
    assert list(bad.errors) == [field]


def test_pages_are_whole_and_end():
    for _ in range(30):
        make_paper()
    first, second = search("page=1").chosen_page(), search("page=2").chosen_page()
    assert len({paper.key for paper in [*first, *second]}) == 30
    with pytest.raises(Http404, match="There is no page 3: this list has 2"):
        search("page=3").chosen_page()


def test_an_identifier_in_any_spelling_is_a_record():
    paper = make_paper(identifiers=[("arxiv", "2401.12345")])
    for text in ("2401.12345", "arXiv:2401.12345v3", "https://arxiv.org/abs/2401.12345v2"):
        assert search(f"q={text}").record() == ("arxiv", "2401.12345", paper)
    assert search("q=2401.99999").record() == ("arxiv", "2401.99999", None)
    assert search("q=attention").record() is None


def test_the_query_string_changes_one_thing_and_forgets_the_page():
    asked = search("q=sums&axis=data&axis=budget&year=2020&sort=&year_from=&page=2&other=1")
    assert asked.query() == "q=sums&axis=data&axis=budget&year=2020"
    assert asked.query(year=None, axis=["data"], sort="gain") == "q=sums&axis=data&sort=gain"
