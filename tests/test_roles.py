"""Roles: the one table, how they change hands, and who cannot be left out."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from papers import roles
from papers.models import RoleChange
from tests.conftest import make_user
from tests.desk import text_of


@pytest.fixture
def olive(db):
    """An operator."""
    user = make_user("olive")
    roles.give(user, "operator", who=None, why="Runs the pool")
    return user


def test_everybody_has_the_roles_that_the_table_says(ben, ada, olive):
    admin, rex, gone = (
        make_user("admin", is_superuser=True),
        make_user("rex"),
        make_user("gone", is_active=False),
    )
    roles.take(rex, "submitter", who=olive, why="Advertisements")
    assert [roles.of(user) for user in (None, rex, gone)] == [["reader"]] * 3
    assert roles.of(ben) == ["reader", "submitter"]
    assert roles.of(ada) == ["reader", "submitter", "moderator"]
    assert roles.of(olive) == ["reader", "submitter", "operator"]
    assert roles.of(admin) == list(roles.ROLES)


def test_the_page_says_who_may_what_and_the_log_who_gave_it(client, ada, ben, olive):
    roles.give(ben, "moderator", who=olive, why="Knows the field")
    roles.take(make_user("rex"), "submitter", who=olive, why="Advertisements")
    page = text_of(client.get("/roles"))
    assert all(right.what in page for right in roles.RIGHTS.values())
    assert "Moderators ada, ben Operators olive" in page
    assert "ben became moderator olive Knows the field" in page
    assert "Advertisements" not in page
    client.force_login(olive)
    assert "rex is no longer submitter olive Advertisements" in text_of(client.get("/roles"))


def test_an_operator_gives_and_takes_on_the_page(client, ben, olive):
    client.force_login(olive)
    typed = {"username": "ben", "role": "submitter", "action": "take", "why": "Advertisements"}
    assert client.post("/roles", typed)["Location"] == "/roles"
    client.force_login(ben)
    refused = client.get("/submit")
    assert refused.status_code == 403
    assert "An operator took that role from this account: Advertisements" in text_of(refused)
    client.force_login(olive)
    client.post("/roles", typed | {"action": "give", "why": "A misunderstanding"})
    assert roles.may(ben, "submit")
    assert RoleChange.objects.filter(user=ben, who=olive).count() == 2


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"username": "nobody-here"}, "There is no such account."),
        ({"why": " "}, "This field is required."),
        ({"role": "king"}, "Select a valid choice."),
        ({"username": "olive", "role": "operator", "action": "take"}, "ask another operator."),
        ({"username": "admin"}, "A superuser holds every role"),
    ],
)
def test_a_refusal_says_what_to_do_and_keeps_what_was_typed(client, ben, olive, typed, told):
    make_user("admin", is_superuser=True)
    client.force_login(olive)
    given = {"username": "ben", "role": "moderator", "action": "give", "why": "Knows the field"} | typed
    refused = client.post("/roles", given)
    assert (refused.status_code, told in text_of(refused)) == (400, True)
    assert f'value="{given["username"]}"' in refused.content.decode()
    assert not RoleChange.objects.filter(user=ben).exists()


def test_the_command_gives_and_takes(ben, capsys):
    call_command("role", "moderator", "ben")
    call_command("role", "moderator", "ben")
    call_command("role", "moderator", "ben", "--take", "--why", "Asked for it")
    said = ["ben is a moderator.", "ben is a moderator already.", "ben is no longer a moderator."]
    assert capsys.readouterr().out.splitlines() == said
    assert [change.why for change in RoleChange.objects.all()] == ["Asked for it", "From the command line"]
    with pytest.raises(CommandError, match="There is no account “who”"):
        call_command("role", "moderator", "who")


@pytest.mark.django_db(transaction=True)
def test_two_operators_who_take_the_role_from_each_other_do_not_both_succeed():
    two = [make_user("olive"), make_user("oscar")]
    for user in two:
        roles.give(user, "operator", who=None, why="Runs the pool")

    def take(pair):
        who, whose = pair
        try:
            return roles.take(whose, "operator", who=who, why="A quarrel")
        except roles.Refused:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(take, [two, two[::-1]])) == [False, True]


def test_the_document_shows_the_same_table():
    written = (Path(__file__).parent.parent / "docs/roles.md").read_text()
    assert [
        right for right in roles.RIGHTS.values() if f"| {right.role} | {right.what} |" not in written
    ] == []
