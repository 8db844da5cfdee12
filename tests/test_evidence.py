"""From a bundle to judged measurements: what is scored, what is not, and what ships with the project."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from reproduce import bundles, catalogue, evidence
from reproduce.models import Measurement, Run
from reproduce.recipes import bundle, spec
from tests.making import make_claim, make_paper
from tests.making_runs import make_run

pytestmark = pytest.mark.django_db
SLUG = "flashattention-io"


@pytest.fixture
def paper(db):
    paper = make_paper(identifiers=[("arxiv", "2205.14135")])
    make_claim(paper, value=5.71, low=5.0, high=7.6)
    return paper


def measured(measure, value=6.0):
    """An invented measurement of a promised number."""
    given = {
        "name": measure.name,
        "value": value,
        "low": value - 0.1,
        "high": value + 0.1,
        "n": 30,
        "unit": "x",
    }
    return given | {"predicted": 7.7, "predicted_note": "", "noise": 0.001, "detail": {}}


def report(preset="full", kind="cuda", passed=True, **over):
    recipe = spec.load(SLUG)
    now = datetime(2026, 1, 2, tzinfo=UTC)
    return {
        "schema": 1,
        "recipe": {"slug": SLUG, "version": recipe.version, "digest": recipe.digest},
        "preset": preset,
        "parameters": recipe.parameters(preset, {}),
        "device": {"kind": kind, "name": "Invented H-1", "count": 1},
        "started": now.isoformat(),
        "finished": (now + timedelta(seconds=60)).isoformat(),
        "status": "done",
        "failure": None,
        "metrics": [measured(measure) for measure in recipe.measures],
        "guards": [{"name": "exact", "passed": passed, "value": 0.1, "limit": 0.2, "detail": "It is right."}],
        "series": [],
        "trace": [],
        "environment": {},
        "gpu_seconds": 60.0,
        "energy_j": None,
        "log": "a line",
        **over,
    }


def shipped(folder, name="one.json", **over):
    bundle.write(folder / name, report(**over), samples={"time": [1.0, 2.0]})
    return folder / name


def headline_of(run):
    return run.measurements.get(headline=True)


def test_a_shipped_bundle_becomes_a_finished_run_with_verdicts(paper, tmp_path):
    path = shipped(tmp_path)
    run = evidence.load_shipped(path)
    assert (run.status, run.origin, run.device_name, run.gpu_seconds) == (
        "done",
        "shipped",
        "Invented H-1",
        60,
    )
    assert run.duration == 60
    assert [m.name for m in run.measurements.all()] == [m.name for m in spec.load(SLUG).measures]
    headline = headline_of(run)
    assert (headline.claim, headline.verdict) == (paper.claims.get(), "reproduced")
    assert bundles.unpack(Run.objects.get(pk=run.pk)) == path.read_bytes()


def test_loading_the_shipped_results_twice_changes_nothing(paper, tmp_path, settings, capsys):
    settings.SHIPPED_RESULTS = tmp_path
    shipped(tmp_path)
    call_command("load_results")
    before = list(Measurement.objects.values())
    call_command("load_results")
    assert list(Measurement.objects.values()) == before
    assert capsys.readouterr().out.splitlines() == [
        "1 new measured bundles loaded",
        "0 new measured bundles loaded",
    ]


def test_a_bad_shipped_bundle_is_named_and_the_good_ones_load(paper, tmp_path, settings):
    settings.SHIPPED_RESULTS = tmp_path
    shipped(tmp_path)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(CommandError, match=r"^bad\.json: The bundle is refused"):
        call_command("load_results")
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("over", "verdict", "reason"),
    [
        ({"preset": "smoke", "kind": "cpu"}, "not_comparable", evidence.SMOKE),
        ({"kind": "cpu"}, "not_comparable", evidence.MEANT_FOR["cuda"]),
        ({"passed": False}, "invalid", "A guard failed (exact), and a wrong result cannot have a speed."),
    ],
)
def test_what_is_never_scored(paper, tmp_path, over, verdict, reason):
    headline = headline_of(evidence.load_shipped(shipped(tmp_path, **over)))
    assert (headline.verdict, headline.verdict_reason) == (verdict, reason)


def test_without_its_claim_a_number_is_shown_and_not_scored(paper, tmp_path):
    paper.claims.all().delete()
    headline = headline_of(evidence.load_shipped(shipped(tmp_path)))
    assert (headline.claim, headline.verdict, headline.value) == (None, "not_comparable", 6.0)


def test_when_the_hardware_cannot_show_the_claim_the_verdict_says_so(paper):
    measure = next(m for m in spec.load(SLUG).measures if m.headline)
    run = make_run(paper=paper, preset="full", device="cuda")
    low = evidence.Measured(2.0, 1.9, 2.1, noise=0.0, predicted=3.1)
    judged = evidence.judge(run, measure, paper.claims.get(), low)
    assert judged.code == "same_direction"
    assert judged.reason.endswith(" Hardware-limited: its roofline here allows 3.1 at best.")


@pytest.mark.parametrize(
    ("device_name", "parts", "verdict"),
    [
        ("NVIDIA H100 80GB HBM3", ("H100", "H200"), "reproduced"),
        ("NVIDIA A100", ("H100", "H200"), "not_comparable"),
        ("NVIDIA A100", (), "not_comparable"),
        ("NVIDIA A100", ("any",), "reproduced"),
    ],
)
def test_an_absolute_number_is_scored_only_where_its_recipe_says_it_is_comparable(
    paper, device_name, parts, verdict
):
    claim = make_claim(paper, slug="tflops", metric="tflops", value=335, low=300, high=420, kind="absolute")
    measure = spec.Measure("rate", "tflops", "Rate", "band", claim="tflops", comparable_on=parts)
    run = make_run(paper=paper, preset="full", device="cuda", device_name=device_name)
    judged = evidence.judge(run, measure, claim, evidence.Measured(350.0, 349.0, 351.0))
    assert judged.code == verdict


def test_a_recipe_for_the_cpu_is_scored_on_a_cpu_and_nowhere_else(paper, monkeypatch):
    measure = next(m for m in spec.load(SLUG).measures if m.headline)
    on_cpu = replace(spec.load(SLUG), gpus=0)
    monkeypatch.setattr(catalogue, "recipe", lambda slug: on_cpu)
    good = evidence.Measured(6.0, 5.9, 6.1, noise=0.0)
    verdicts = [
        evidence.judge(make_run(paper=paper, preset="full", device=device), measure, paper.claims.get(), good)
        for device in ("cpu", "cuda")
    ]
    assert [verdict.code for verdict in verdicts] == ["reproduced", "not_comparable"]
    assert verdicts[1].reason == evidence.MEANT_FOR["cpu"]
    assert catalogue.needs(on_cpu, "full")["device"] == "cpu"
