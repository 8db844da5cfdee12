"""Rate limits count for each person and action, exactly, also when many ask at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory

from explorer import throttle


def request_of(user, address="192.0.2.1"):
    request = RequestFactory().get("/", REMOTE_ADDR=address)
    request.user = user or AnonymousUser()
    return request


def count_through(request, times, action="submit", limit=2, per_s=60):
    return [throttle.wait_s(request, action, limit, per_s) for _ in range(times)]


def test_beyond_the_limit_one_waits_until_the_first_time_is_over(ben):
    assert count_through(request_of(ben), 4, per_s=60) == [0, 0, 60, 60]


def test_time_that_has_passed_counts_no_more(ben):
    request = request_of(ben)
    count_through(request, 2)
    cache.set(f"throttle:submit:user:{ben.pk}", [throttle.time.time() - 61, throttle.time.time() - 50], 60)
    assert count_through(request, 2) == [0, 10]


def test_a_busy_cache_forgets_no_count(ben):
    count_through(request_of(ben), 2)
    for number in range(400):
        cache.set(f"user-{number}", number)
    assert throttle.wait_s(request_of(ben), "submit", 2, 60) > 0


def test_each_person_and_each_action_is_counted_apart(ben, cy):
    count_through(request_of(ben), 3)
    assert throttle.wait_s(request_of(cy), "submit", 2, 60) == 0
    assert throttle.wait_s(request_of(ben), "run", 2, 60) == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::3", "2001:db8:1:2:ffff::4", True),
        ("2001:db8:1:2::3", "2001:db8:1:3::3", False),
        ("", "", True),
    ],
)
def test_the_signed_out_are_counted_by_address(one, other, same):
    count_through(request_of(None, one), 2)
    assert (throttle.wait_s(request_of(None, other), "submit", 2, 60) > 0) is same


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_as_many_pass_as_may():
    def ask(_):
        try:
            return throttle.wait_s(request_of(None), "submit", 5, 60)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(ask, range(24)))
    assert waits.count(0) == 5


def test_a_limited_view_answers_429_and_says_when_to_come_back(ben):
    view = throttle.limited("run", 1, 90)(lambda request: HttpResponse("done"))
    assert view(request_of(ben)).content == b"done"
    refused = view(request_of(ben))
    assert (refused.status_code, refused["Retry-After"]) == (429, "90")
    assert "Please wait 90 seconds" in refused.content.decode()
