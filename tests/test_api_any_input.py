"""The whole JSON API against its own schema: whatever is asked of it by reading, it never fails."""

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error

from tests.making import make_claim, make_paper, make_technique

# The application closes its connections after each request, as in production: no transaction around the test.
pytestmark = pytest.mark.django_db(transaction=True)


def test_the_api_never_fails_whatever_it_is_asked(db):
    make_claim(make_paper(techniques=[make_technique()], identifiers=[("arxiv", "2401.12345")]))
    api = schemathesis.openapi.from_wsgi("/api/schema?format=json", get_wsgi_application())
    readings = [each.ok() for each in api.include(method="GET").get_all_operations()]
    assert len(readings) >= 15
    for reading in readings:

        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=reading.as_strategy())
        def is_answered(case):
            case.call_and_validate(checks=[not_a_server_error])

        is_answered()
