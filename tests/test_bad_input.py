"""Whatever is typed or sent: a form error or a 400 that names the field, and never a 500."""

from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from explorer.search import Search
from tests.making import make_claim, make_paper, make_technique

pytestmark = pytest.mark.django_db
# The database is one for all examples of a test: none of them writes.
quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
text = st.one_of(
    st.text(max_size=40),
    st.text("\"-*:.() \\'%&|!<>\0\u0301{}", max_size=20),
    st.sampled_from(
        ["author:", "year:..", 'venue:"', "2401.12345v9", "10.1/\0", "9" * 400, "or or", "-", "a" * 10_000]
    ),
    st.builds(
        "{}:{}".format, st.sampled_from(["author", "title", "year", "axis", "venue"]), st.text(max_size=8)
    ),
)
values = st.one_of(
    text, st.integers().map(str), st.sampled_from(["2022..2020", "1e999", "-1", "0", "10" * 9])
)
queries = st.lists(st.tuples(st.sampled_from([*Search.base_fields, "typing"]), values), max_size=4)


@pytest.fixture
def some(db):
    make_claim(make_paper(techniques=[make_technique()], identifiers=[("arxiv", "2401.12345")]))


@quick
@given(queries)
def test_any_query_string_is_answered_or_refused_by_name(client, some, query):
    answer = client.get(f"/papers?{urlencode(query)}")
    assert answer.status_code in (200, 302, 400, 404)
    if answer.status_code == 400:
        errors = answer.context["search"].errors
        assert errors and all(name in Search.base_fields for name in errors)
        assert all(f"<strong>{name}</strong>" in answer.text for name in errors)


@quick
@given(queries)
def test_every_export_and_the_api_refuse_what_the_page_refuses(client, some, query):
    asked = urlencode([(name, value) for name, value in query if name not in ("typing", "page")])
    page = client.get(f"/papers?{asked}")
    for form in ("bib", "csv", "json"):
        assert client.get(f"/papers.{form}?{asked}").status_code == (400 if page.status_code == 400 else 200)
    assert client.get(f"/api/papers?{asked}").status_code == (400 if page.status_code == 400 else 200)


@pytest.mark.parametrize(
    "address", ["/papers?page=1000000000", "/papers?page=99999", "/papers?q=" + "a" * 10_000]
)
def test_pages_that_cannot_be_say_so(client, address):
    assert client.get(address).status_code in (400, 404)
