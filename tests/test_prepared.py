"""Statements planned once a connection: the same rows again, after a rollback, and on a new connection."""

import pytest
from django.db import Error, connection, transaction
from django.test.utils import CaptureQueriesContext

from explorer.prepared import Prepared

pytestmark = pytest.mark.django_db(transaction=True)
DOUBLED = Prepared("doubled", "int, text", "SELECT 2 * $1, $2")


def statements():
    with CaptureQueriesContext(connection) as captured:
        assert DOUBLED.rows(21, "it's") == [(42, "it's")]
    return [query["sql"].split()[0] for query in captured]


def test_it_is_prepared_once_for_each_connection_whatever_is_rolled_back():
    connection.close()
    with pytest.raises(Error), transaction.atomic():
        assert statements() == ["PREPARE", "EXECUTE"]
        DOUBLED.rows("no number", "")
    assert statements() == ["EXECUTE"]
    connection.close()
    assert statements() == ["PREPARE", "EXECUTE"]
