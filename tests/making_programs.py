"""Programs that call the API, as somebody with a token or as nobody."""

from rest_framework.test import APIClient

from explorer import tokens


def make_program(user=None):
    """A client that sends JSON, with a fresh token of `user`."""
    program = APIClient()
    program.default_format = "json"
    if user:
        program.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue(user, 'a test')}")
    return program


def told(response):
    """What an error says, whole: its status, and the four parts that every error has."""
    assert list(response.json()) == ["error"]
    error = response.json()["error"]
    assert list(error) == ["code", "message", "remedy", "fields"]
    return response.status_code, error["code"], error["fields"]
