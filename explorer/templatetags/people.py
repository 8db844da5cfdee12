"""What a person may do, for templates that offer it."""

from django import template

from papers import moderation

register = template.Library()
register.filter("may_moderate", moderation.may_moderate)
