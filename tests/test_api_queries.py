"""A list of three costs as many queries as a list of one."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from papers.models import Paper
from reproduce.models import Batch, Run
from tests.making import bib_entry, make_claim, make_paper, make_technique
from tests.making_programs import make_program
from tests.making_runs import make_measurement, make_run, make_worker


def add_paper(ben, number):
    techniques = [
        make_technique(slug=f"technique-{number}-{n}", name=f"Technique {number} {n}", position=n)
        for n in range(2)
    ]
    identifiers = [("arxiv", f"2201.0000{number}"), ("doi", f"10.1000/{number}")]
    make_claim(make_paper(key=f"paper{number}", identifiers=identifiers, techniques=techniques))


def add_claims_and_runs_of_one_paper(ben, number):
    paper = Paper.objects.filter(key="only").first() or make_paper(key="only")
    paper.identifiers.create(scheme="arxiv", value=f"2201.0000{number}")
    claim = make_claim(paper, slug=f"speedup_x-{number + 2}")
    run = make_run(paper=paper, requested_by=ben, worker=make_worker())
    make_measurement(run, claim=claim)


def add_recipe_paper(ben, number):
    value = ["2205.14135", "2106.09685", "2201.00001"][number]
    make_paper(identifiers=[("arxiv", value)])


def add_run(ben, number):
    make_run(requested_by=ben, worker=make_worker())


def add_measurement(ben, number):
    run = Run.objects.filter(pk=1).first() or make_run(pk=1)
    make_measurement(run, name=f"number-{number}", claim=make_claim(make_paper()))


def add_submission(ben, number):
    make_program(ben).post("/api/submissions", {"text": bib_entry(title=f"Sums {number}")})


def add_batch(ben, number):
    batch = Batch.objects.create(title=f"Batch {number}", asked_by=ben)
    batch.runs.add(make_run(requested_by=ben, worker=make_worker()))


def add_member(ben, number):
    batch = Batch.objects.get_or_create(pk=1, defaults={"title": "Only", "asked_by": ben})[0]
    batch.runs.add(make_run(requested_by=ben, worker=make_worker()))


LISTS = {
    "/api/papers": add_paper,
    "/api/papers/only": add_claims_and_runs_of_one_paper,
    "/api/techniques": add_paper,
    "/api/claims": add_paper,
    "/api/recipes": add_recipe_paper,
    "/api/runs": add_run,
    "/api/runs/1": add_measurement,
    "/api/batches": add_batch,
    "/api/batches/1": add_member,
    "/api/submissions": add_submission,
}


def queries_of(program, address):
    with CaptureQueriesContext(connection) as captured:
        assert program.get(address).status_code == 200
    return len(captured)


@pytest.mark.parametrize("address", LISTS)
def test_three_rows_cost_as_many_queries_as_one(ben, address):
    program = make_program(ben)
    LISTS[address](ben, 0)
    queries_of(program, address)  # what is looked up once and kept
    one = queries_of(program, address)
    LISTS[address](ben, 1)
    LISTS[address](ben, 2)
    queries_of(program, address)  # as the taxonomy is read anew after a change
    assert queries_of(program, address) == one
