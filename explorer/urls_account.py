"""The pages of allauth that explorer counts; they go before allauth's own, under the same addresses."""

from django.urls import path

from explorer import signing_in

urlpatterns = [
    path("login/", signing_in.LoginView.as_view(), name="account_login"),
    path("signup/", signing_in.SignupView.as_view(), name="account_signup"),
    path("password/reset/", signing_in.PasswordResetView.as_view(), name="account_reset_password"),
]
