"""Everything people and programs see lives in explorer; sign-in is django-allauth's."""

from django.urls import include, path

urlpatterns = [
    path("account/", include("explorer.urls_account")),
    path("account/", include("allauth.urls")),
    path("", include("explorer.urls")),
]
handler400 = "explorer.errors.bad_request"
handler403 = "explorer.errors.forbidden"
handler404 = "explorer.errors.not_found"
handler429 = "explorer.errors.too_many_requests"  # allauth asks for it
handler500 = "explorer.errors.server_error"
