"""Both schedulers against hand-made traces and closed forms; the engine's guard, broken on purpose."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "orca-iteration-batching"
capacity, checks, engine = part(SLUG, "capacity"), part(SLUG, "checks"), part(SLUG, "engine")
requests, scheduling = part(SLUG, "requests"), part(SLUG, "scheduling")


class Unit:
    """An engine whose every prompt batch and every step take one second."""

    def prefill(self, placed):
        return 1.0

    def decode(self, placed, longest):
        return 1.0


def ask(*outputs, arrival=0.0):
    return [requests.Request(number, arrival, 10, output) for number, output in enumerate(outputs)]


def test_whole_batches_wait_for_their_slowest():
    served = scheduling.by_request(2)(ask(2, 5, 1), Unit())
    assert served.latencies == [5 / 2, 5 / 5, 6 / 1]
    assert (served.seconds, served.useful, served.steps) == (6.0, 1 + 4, 2 * 4)


def test_a_freed_slot_is_taken_before_the_next_step():
    """Two prompts, a step that ends the first, the third's prompt, three steps for the second: 7 seconds."""
    served = scheduling.by_iteration(2)(ask(2, 5, 1), Unit())
    assert served.latencies == [3 / 2, 5 / 1, 7 / 5]
    assert served.utilisation == 1.0


def test_late_requests_are_not_served_before_they_come():
    late = [requests.Request(0, 5.0, 10, 1), requests.Request(1, 50.0, 10, 2)]
    for schedule in (scheduling.by_request(4), scheduling.by_iteration(4)):
        served = schedule(late, Unit())
        assert served.latencies == [1.0, 2 / 2]
        assert served.seconds == 47.0


def test_the_bound_of_whole_batches_is_the_longest_over_the_mean():
    drawn = requests.trace(32_000, seed=1)
    longest = 128 * (1 - sum((k / 128) ** 32 for k in range(1, 128)) / 128)  # E[max] of 32 from 1..128
    assert capacity._bound(drawn, 32) == pytest.approx(longest / 64.5, rel=0.01)


def test_heavy_tails_keep_the_mean_and_make_the_longest_longer():
    plain, heavy = (requests.trace(5000, seed=2, heavy=heavy) for heavy in (False, True))
    means = [sum(r.output for r in drawn) / 5000 for drawn in (plain, heavy)]
    assert means[1] == pytest.approx(means[0], rel=0.02)
    assert max(r.output for r in heavy) == 512


def sees_everything(places, window):
    return torch.zeros(len(places), 1, 1, window)


def first_slot_only(places, window):
    return visible(places[:1].expand_as(places), window)


visible = engine.visible


@pytest.mark.parametrize("broken", [None, sees_everything, first_slot_only])
def test_the_guard_sees_a_mask_that_depends_on_the_others(broken, monkeypatch):
    if broken:
        monkeypatch.setattr(engine, "visible", broken)
    context = context_of(SLUG)
    checks.same_tokens(context)
    assert failed(context) == ({"same_tokens"} if broken else set())
