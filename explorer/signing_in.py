"""Signing in, signing up and asking for a new password: allauth's pages, counted by the client's address.

Wrong passwords for one account are counted by allauth (ACCOUNT_RATE_LIMITS), in the same shared cache.
"""

from allauth.account import views
from allauth.account.adapter import DefaultAccountAdapter
from django.contrib import messages

from explorer import throttle
from explorer.forms_account import ResetPasswordForm, SignupForm
from explorer.typed import typed_in

LOCKED_S = 300  # ACCOUNT_RATE_LIMITS["login_failed"]


class Adapter(DefaultAccountAdapter):
    """Asks throttle.py who the client is, so that both count the same."""

    def get_client_ip(self, request):
        return throttle.address_of(request)


class Counted:
    """Beyond the limit comes the same page with a 429, and with what was typed but the passwords."""

    action, limit, per_s = "", 0, 0

    def post(self, request, *args, **kwargs):
        if wait := throttle.wait_s(request, self.action, self.limit, self.per_s):
            return self.later(wait)
        return super().post(request, *args, **kwargs)

    def later(self, wait):
        form = self.get_form()
        form.is_bound, form.initial = False, dict(typed_in(self.request))
        when = f"{-(-wait // 60)} minutes" if wait > 120 else f"{wait} seconds"
        messages.error(self.request, f"That was too often from your network. Try again in {when}.")
        return self.refused(form, wait)

    def refused(self, form, wait):
        page = self.render_to_response(self.get_context_data(form=form), status=429)
        page.headers["Retry-After"] = str(wait)
        return page


class LoginView(Counted, views.LoginView):
    action, limit, per_s = "sign-in", 30, 300

    def form_invalid(self, form):
        if form.has_error("__all__", "too_many_login_attempts"):
            return self.refused(form, LOCKED_S)
        return super().form_invalid(form)


class SignupView(Counted, views.SignupView):
    action, limit, per_s = "sign-up", 20, 3600
    form_class = SignupForm


class PasswordResetView(Counted, views.PasswordResetView):
    action, limit, per_s = "password-reset", 20, 3600
    form_class = ResetPasswordForm
