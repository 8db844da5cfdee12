"""The formats that a list and a paper are offered in, for pages that link to them."""

from django import template

from explorer.formats import FORMATS, LIST, ONE

register = template.Library()


@register.simple_tag
def formats_of_lists():
    return [FORMATS[extension] for extension in LIST]


@register.simple_tag
def formats_of_one():
    return [FORMATS[extension] for extension in ONE]
