"""What people type about their own account: signing up, asking for a new password, and leaving."""

from allauth.account import forms as allauth_forms
from django import forms

from explorer.traps import TrapForm


class SignupForm(TrapForm, allauth_forms.SignupForm):
    """allauth's, with the traps."""


class ResetPasswordForm(TrapForm, allauth_forms.ResetPasswordForm):
    """allauth's, with the traps: it sends mail to whoever is named."""


class LeaveForm(forms.Form):
    """The last question before an account is deleted: the password, or for who has none, the own name."""

    def __init__(self, *args, user, **kwargs):
        super().__init__(*args, **kwargs)
        self.user = user
        if user.has_usable_password():
            widget = forms.PasswordInput(attrs={"autocomplete": "current-password"})
            self.fields["password"] = forms.CharField(label="Your password", strip=False, widget=widget)
        else:
            self.fields["name"] = forms.CharField(label=f"Type your user name, {user.get_username()}")

    def clean_password(self):
        if not self.user.check_password(self.cleaned_data["password"]):
            raise forms.ValidationError("That is not your password. Nothing was deleted.")

    def clean_name(self):
        if self.cleaned_data["name"] != self.user.get_username():
            raise forms.ValidationError("That is not your user name. Nothing was deleted.")
