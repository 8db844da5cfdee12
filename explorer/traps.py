"""Traps for programs that fill in every form they find: a field that nobody sees, and a form sent at once.

A person who is caught keeps what was typed, reads why, and goes on by ticking one box.
"""

from django import forms
from django.core import signing
from django.utils.html import format_html

LEAST_S = 1.5  # nobody reads and fills a form within; a program posts it at once
SALT = "explorer.traps"
CAUGHT = (
    "This looked like a program at work, not like you: {why}. Nothing is lost. Tick “I am a person” below, "
    "and send it again."
)


class UnseenInput(forms.TextInput):
    """An input that eyes, keyboards, screen readers and browsers that fill in forms pass over."""

    unseen = True
    html = (
        '<span hidden aria-hidden="true"><input name="{}" value="{}" tabindex="-1" autocomplete="off"></span>'
    )

    def render(self, name, value, attrs=None, renderer=None):
        return format_html(self.html, name, value or "")


class TrapForm(forms.Form):
    """A form for the signed-out. `homepage` is the trap, `shown` when the page was made, signed by us."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["homepage"] = forms.CharField(required=False, widget=UnseenInput, label="Leave empty")
        self.fields["shown"] = forms.CharField(required=False, widget=forms.HiddenInput, initial=_now)
        self.fields["person"] = forms.BooleanField(
            required=False, widget=forms.HiddenInput, label="I am a person"
        )

    def clean(self):
        cleaned = super().clean()
        why = _caught(self.cleaned_data)
        if why and not self.cleaned_data.get("person"):
            self.fields["person"].widget = forms.CheckboxInput()
            self.add_error(None, forms.ValidationError(CAUGHT.format(why=why), code="caught"))
        return cleaned


def _caught(sent):
    """Why this looks like a program's work; empty if it does not."""
    if sent.get("homepage"):
        return "a field that nobody sees was filled in"
    try:
        signing.TimestampSigner(salt=SALT).unsign(sent.get("shown", ""), max_age=LEAST_S)
    except signing.SignatureExpired:
        return ""
    except signing.BadSignature:
        return "the form came without the mark that our page puts into it"
    return "the form came back at once"


def _now():
    return signing.TimestampSigner(salt=SALT).sign("shown")
