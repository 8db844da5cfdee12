"""Repeats of one question, pooled: what counts as a repeat, how sure the median is, what a new torch changed."""

from datetime import UTC, datetime, timedelta
from math import exp, isclose, log, sqrt
from types import SimpleNamespace

import pytest

from reproduce import catalogue, pooling
from reproduce.evidence import SMOKE
from reproduce.models import Run
from tests.making import make_claim, make_paper
from tests.making_runs import make_measurement, make_run

RECIPE = catalogue.recipe("flashattention-io")
START = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def paper(db):
    paper = make_paper(identifiers=[("arxiv", "2205.14135")])
    make_claim(paper, value=3.0, low=2.5, high=3.5)
    return paper


def make_repeat(paper, value=3.0, half=0.01, torch="2.11.0", passed=True, preset="full", day=0, **over):
    """A finished run of the recipe as it stands, with its headline number."""
    given = {
        "paper": paper,
        "recipe_digest": RECIPE.digest,
        "preset": preset,
        "parameters": RECIPE.parameters(preset, {}),
        "device": catalogue.device_of(preset),
        "device_name": "Invented H-1",
        "status": "done",
        "finished": START + timedelta(days=day),
        "environment": {"code": {"packages": {"torch": torch}}},
        "guards": [{"name": "exact", "passed": passed, "value": 0, "limit": 1, "detail": "It is right."}],
    }
    run = make_run(**given | over)
    number = {"value": value, "low": value - half, "high": value + half, "headline": True, "noise": 0.001}
    make_measurement(run, claim=paper.claims.first(), **number)
    return run


def pooled(preset="full"):
    return pooling.pools(RECIPE, preset)


def test_the_interval_is_students_over_one_value_for_each_run_in_logarithms():
    centre, half = log(2 * 4 * 8) / 3, 4.303 * log(2) / sqrt(3)  # the logs are log 2 apart: their deviation
    low, high = pooling.interval([2.0, 4.0, 8.0])
    assert isclose(low, exp(centre - half)) and isclose(high, exp(centre + half))


def test_two_runs_say_little_and_each_further_one_much_more():
    widths = [high - low for low, high in (pooling.interval([1.0, 1.1] * n) for n in (1, 2, 4, 40))]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 5 * widths[1] and widths[1] > 2 * widths[3] > 0


def test_values_that_are_not_above_zero_are_pooled_as_they_are():
    low, high = pooling.interval([-0.1, 0.0, 0.1])
    assert isclose(high, 4.303 * 0.1 / sqrt(3)) and isclose(low, -high)


def test_an_exact_count_stays_exact_and_equal_values_keep_their_own_intervals(paper):
    for _ in range(3):
        make_repeat(paper, 3.0, half=0)
    number = pooled()[0].headline
    assert (number.low, number.high, number.runs, number.spread) == (3.0, 3.0, 3, 0)
    make_repeat(paper, 3.0, half=0.1)
    number = pooled()[0].headline
    assert (number.low, number.high) == (2.9, 3.1)


def test_the_interval_always_holds_the_median():
    values = [1.0] * 20 + [1e6] * 12
    low, high = pooling.interval(values)
    assert low <= 1.0 <= high


@pytest.mark.parametrize(
    ("values", "apart"), [([3.0], None), ([3.0, 3.3, 2.7], 0.2), ([-1.0, 1.0], None), ([-2.0, -1.0], 2 / 3)]
)
def test_the_spread_is_how_far_apart_the_runs_lie(values, apart):
    assert pooling.spread(values) == (apart and pytest.approx(apart))


def test_repeats_become_one_number_with_a_verdict_of_its_own(paper):
    runs = [make_repeat(paper, value, day=day) for day, value in enumerate([2.99, 3.0, 3.01])]
    [pool] = pooled()
    number = pool.headline
    assert (pool.device_name, pool.torch, pool.runs, pool.unsound) == (
        "Invented H-1",
        "2.11.0",
        tuple(runs[::-1]),
        0,
    )
    assert (number.value, number.runs, number.n, number.claim) == (3.0, 3, 90, paper.claims.get())
    assert number.spread == pytest.approx(0.02 / 3)
    assert (number.low, number.high) == pooling.interval([2.99, 3.0, 3.01])
    assert number.verdict.code == "reproduced"
    assert [each.measure.name for each in pool.numbers] == ["speedup"]


def test_runs_that_disagree_are_worth_less_together_than_each_alone(paper):
    for value in (2.5, 3.5):
        run = make_repeat(paper, value)
        assert run.measurements.get().low > 1
    assert pooled()[0].headline.verdict.code == "inconclusive"


def test_one_run_keeps_its_own_interval_and_says_that_nothing_is_known_of_others(paper):
    make_repeat(paper, 3.0, half=0.2)
    number = pooled()[0].headline
    assert (number.low, number.high, number.runs, number.spread) == (2.8, 3.2, 1, None)


def test_a_run_with_a_failed_guard_is_left_out_and_counted(paper):
    good, _ = make_repeat(paper, 3.0), make_repeat(paper, 9.0, passed=False)
    [pool] = pooled()
    assert (pool.runs, pool.unsound, pool.headline.value) == ((good,), 1, 3.0)


def test_where_every_guard_failed_there_is_no_number(paper):
    make_repeat(paper, 9.0, passed=False)
    assert [(pool.runs, pool.unsound, pool.headline) for pool in pooled()] == [((), 1, None)]


def test_the_same_question_is_pooled_whoever_might_measure_it_and_nothing_else_is(paper):
    plain = make_repeat(paper)
    labelled = make_repeat(paper, labels=["torch 2.11.0"], fingerprint="another", day=1)
    shipped = make_repeat(paper, origin="shipped", day=2)
    make_repeat(paper, origin="contributed")
    make_repeat(paper, recipe_digest="1" * 64)
    make_repeat(paper, parameters=RECIPE.parameters("full", {"batch": "2"}))
    make_repeat(paper, status="failed", failure="timeout", message="Out of time.")
    [pool] = pooled()
    assert pool.runs == (shipped, labelled, plain)


def test_devices_torches_and_presets_are_never_mixed(paper):
    make_repeat(paper, torch="2.13.0+cpu")
    make_repeat(paper, torch="2.9.1")
    make_repeat(paper, device_name="Invented H-2")
    make_repeat(paper, preset="smoke", device_name="CPU")
    assert [(pool.device_name, pool.torch, len(pool.runs)) for pool in pooled()] == [
        ("Invented H-1", "2.9.1", 1),
        ("Invented H-1", "2.13.0+cpu", 1),
        ("Invented H-2", "2.11.0", 1),
    ]
    [smoke] = pooled("smoke")
    assert (smoke.device_name, smoke.headline.verdict.reason) == ("CPU", SMOKE)


def test_a_run_that_does_not_say_its_torch_is_pooled_with_such_runs(paper):
    run = make_repeat(paper, environment={})
    assert [(pool.torch, pool.runs) for pool in pooled()] == [("", (run,))]


def test_a_run_finds_its_own_repeats(paper):
    first, second = make_repeat(paper), make_repeat(paper, day=1)
    make_repeat(paper, torch="2.13.0")
    make_repeat(paper, device_name="Invented H-2")
    assert pooling.pool_of(Run.objects.get(pk=first.pk)).runs == (second, first)


def test_a_run_that_counts_not_has_no_repeats(paper):
    assert pooling.pool_of(make_run(paper=paper)) is None
    assert pooling.pool_of(make_repeat(paper, origin="contributed")) is None
    assert pooling.pool_of(make_repeat(paper, recipe="recipe-of-the-past")) is None
    assert pooling.pool_of(make_repeat(paper, passed=False)) is None


def test_any_number_of_repeats_costs_as_many_queries(paper, django_assert_num_queries):
    for day in range(4):
        make_repeat(paper, day=day)
    with django_assert_num_queries(2):
        assert len(pooled()[0].runs) == 4


def pool_like(torch, value, half, spread):
    headline = SimpleNamespace(value=value, low=value - half, high=value + half, spread=spread)
    return SimpleNamespace(torch=torch, headline=headline)


@pytest.mark.parametrize(
    ("before", "now", "share", "apart", "beyond"),
    [
        ((3.0, 0.01, 0.01), (2.76, 0.01, None), -0.08, True, True),
        ((3.0, 0.01, 0.10), (2.76, 0.01, None), -0.08, True, False),  # within the spread between runs
        ((3.0, 0.20, 0.01), (2.76, 0.20, 0.01), -0.08, False, False),  # the intervals meet
        ((3.0, 0.01, None), (2.76, 0.01, None), -0.08, True, False),  # nobody knows the spread
        ((-2.0, 0.01, 0.01), (-1.0, 0.01, 0.01), 0.5, True, True),
    ],
)
def test_a_change_is_beyond_the_noise_only_past_both_intervals_and_the_spread(
    before, now, share, apart, beyond
):
    change = pooling.latest_change(
        [pool_like("2.12.0", 9, 9, 9), pool_like("2.13.0", *before), pool_like("2.14.0", *now)]
    )
    assert (change.before, change.torch, change.apart, change.beyond_noise) == (
        "2.13.0",
        "2.14.0",
        apart,
        beyond,
    )
    assert change.share == pytest.approx(share)


def test_without_two_torches_or_from_zero_there_is_no_change():
    nothing = SimpleNamespace(torch="2.12.0", headline=None)
    assert pooling.latest_change([nothing, pool_like("2.13.0", 3.0, 0.1, None)]) is None
    assert (
        pooling.latest_change([pool_like("2.13.0", 0, 0.1, None), pool_like("2.14.0", 3.0, 0.1, None)])
        is None
    )
