"""All that this site keeps of one person, as one JSON document.

Every table that points at the account is in it by construction: a new one needs no line here.
"""

import json

from django.contrib.auth import get_user_model
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from papers import roles
from papers.models import Entry
from reproduce.models import Run

SECRET = {"digest"}  # of tokens
ELSEWHERE = {Run: set(Run.HEAVY)}  # public, large, and at the run's own address
OF_THE_ACCOUNT = ("username", "first_name", "last_name", "email", "date_joined", "last_login")


def parts(user):
    """The document's pieces, read from the database as they are sent."""
    account = {name: getattr(user, name) for name in OF_THE_ACCOUNT} | {"roles": roles.of(user)}
    yield f'{{"account": {_json(account)}'
    for name, rows in _sections(user):
        yield f',\n"{name}": ['
        for number, row in enumerate(rows.iterator(chunk_size=100)):
            yield f"{',' if number else ''}\n  {_json(row)}"
        yield "]"
    yield "}\n"


def tables():
    """(model, field) of everything that points at an account."""
    for relation in get_user_model()._meta.get_fields(include_hidden=True):
        if relation.auto_created and (relation.one_to_many or relation.one_to_one):
            yield relation.related_model, relation.field


def _sections(user):
    for model, field in tables():
        if not model._meta.auto_created:  # which the table between user and group is
            yield f"{model._meta.label_lower}.{field.name}", _rows(model, **{field.name: user})
    yield "papers.entry.submission", _rows(Entry, submission__submitted_by=user)


def _rows(model, **wanted):
    left_out = SECRET | ELSEWHERE.get(model, set())
    columns = [
        field.attname
        for field in model._meta.concrete_fields
        if field.name not in left_out and not isinstance(field, models.BinaryField)
    ]
    return model._default_manager.filter(**wanted).order_by("pk").values(*columns)


def _json(value):
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
