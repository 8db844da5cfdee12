"""The fields of a search that Django has none for: tags, and spans of years or numbers, as 2022..2024."""

import math
import re

from django import forms
from django.core.exceptions import ValidationError

FIRST_YEAR, LAST_YEAR = 1900, 2100  # as the database allows them
MOST_TAGS, LONGEST_TAG = 50, 300


class TagsField(forms.Field):
    """Any number of tags, which the form itself holds against those that there are."""

    widget = forms.SelectMultiple

    def __init__(self, **kwargs):
        super().__init__(required=False, **kwargs)

    def clean(self, value):
        tags = list(value or [])
        if len(tags) > MOST_TAGS:
            raise ValidationError(f"Choose at most {MOST_TAGS}.")
        if any("\0" in tag for tag in tags):
            raise ValidationError("Null characters are not allowed.")
        return [tag for tag in tags if tag]


class SpanField(forms.CharField):
    """Two ends as "first..last", either of them open, or one value for both. Cleans to (first, last)."""

    value, example = r"[^.]+", ""

    def clean(self, value):
        text = super().clean(value)
        if not text:
            return None, None
        if re.fullmatch(self.value, text):
            return self.read(text), self.read(text)
        found = re.fullmatch(rf"({self.value})?\.\.({self.value})?", text)
        if not found or text == "..":
            raise ValidationError(f"Give {self.example}.")
        return span(*(self.read(end) if end else None for end in found.groups()))


class YearsField(SpanField):
    value, example = r"[0-9]{4}", "a year as 2023, or a span as 2022..2024"

    def __init__(self, **kwargs):
        super().__init__(**{"required": False, **kwargs})

    def read(self, text):
        if not FIRST_YEAR <= int(text) <= LAST_YEAR:
            raise ValidationError(f"{text} is not a year between {FIRST_YEAR} and {LAST_YEAR}.")
        return int(text)


class NumbersField(SpanField):
    value, example = r"-?[0-9]+(?:\.[0-9]+)?", "a range as 2.., ..0.5 or 1.5..3"

    def read(self, text):
        if not math.isfinite(number := float(text)):
            raise ValidationError("That number is too large.")
        return number


def span(first, last):
    """(first, last) if that is a possible span. Raises ValidationError."""
    if first is not None and last is not None and first > last:
        raise ValidationError(f"The span {first:g} to {last:g} is empty: put the smaller end first.")
    return first, last
