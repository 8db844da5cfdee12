"""Rules that the database itself keeps, written as constraints."""

from collections.abc import Iterable

from django.db import models
from django.db.models import Q


def must(condition: Q, name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=condition, name=name)


def one_of(field: str, values: Iterable[str], name: str) -> models.CheckConstraint:
    return must(Q(**{f"{field}__in": list(values)}), name)
