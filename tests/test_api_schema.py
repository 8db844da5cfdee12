"""The schema is complete and true: no warning, every address, and answers that fit it. Its page renders."""

import jsonschema
import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from explorer.urls_api import urlpatterns
from reproduce import contributions
from reproduce.models import Batch
from tests.making import bib_entry, make_claim, make_paper, make_technique
from tests.making_bundles import make_bundle
from tests.making_programs import make_program
from tests.making_runs import make_measurement, make_run

UNDESCRIBED = {"", "docs", "schema", "(?P<rest>.*)"}


@pytest.fixture(scope="module")
def schema():
    return SchemaGenerator().get_schema(request=None, public=True)


def test_the_schema_is_valid_and_no_part_of_it_had_to_be_guessed(tmp_path):
    written = tmp_path / "schema.yml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(written))
    assert written.stat().st_size > 10_000


def test_every_address_is_described(schema):
    described = {path.removeprefix("/api/") for path in schema["paths"]}
    there = {str(pattern.pattern) for pattern in urlpatterns} - UNDESCRIBED
    assert described == {
        part.replace("<slug:", "{").replace("<int:", "{").replace(">", "}") for part in there
    }


def test_every_operation_says_how_it_fails(schema):
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert {"429", "503"} <= operation["responses"].keys()
            assert operation["description"]


def test_the_schema_and_its_page_are_served(client, db):
    assert client.get("/api/schema")["Content-Type"].startswith(OpenApiYamlRenderer.media_type)
    assert client.get("/api/docs").status_code == 200
    assert client.get("/api/").status_code == 200


def make_one_of_each(ben):
    paper = make_paper(key="one", identifiers=[("arxiv", "2205.14135")], techniques=[make_technique()])
    make_claim(paper)
    run = make_run(pk=1, paper=paper, requested_by=ben)
    make_measurement(run, claim=paper.claims.get())
    left_out = [{"recipe": "no-such", "why": "It is not there."}]
    Batch.objects.create(pk=1, title="One", asked_by=ben, left_out=left_out).runs.add(run)
    make_run(
        pk=2,
        paper=make_paper(),
        origin="shipped",
        status="done",
        finished="2026-01-02T03:04:05Z",
        energy_j=1.5,
    )
    return (
        make_program(ben).post("/api/submissions", {"text": bib_entry() + bib_entry(title=None)}).json()["id"]
    )


def test_answers_are_as_the_schema_says(schema, ben):
    submission = make_one_of_each(ben)
    contribution = contributions.offer(make_bundle(), who=ben)
    program = make_program(ben)
    given = {
        "{key}": "one",
        "{slug}": "flashattention-io",
        "{run_id}": "1",
        "{batch_id}": "1",
        "{submission_id}": str(submission),
        "{contribution_id}": str(contribution.pk),
    }
    for path, operations in schema["paths"].items():
        address = path
        for name, value in given.items():
            address = address.replace(name, value)
        if "get" not in operations:
            continue
        response = program.get(address)
        described = operations["get"]["responses"][str(response.status_code)]["content"]["application/json"]
        jsonschema.validate(response.json(), {**described["schema"], "components": schema["components"]})


def test_the_page_of_the_api_renders_under_our_strict_policy(stack, page):
    page.goto(f"{stack.url}/api/docs")
    page.get_by_text("/api/papers/{key}", exact=True).first.click()
    assert page.locator(".opblock.is-open").count() == 1
    page.locator(".opblock.is-open .opblock-description").wait_for()
