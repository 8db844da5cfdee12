"""What somebody typed into a form that was refused, so that the page that refuses it can show it."""

LONGEST = 200_000  # characters of one field
NOT_TYPED = {"csrfmiddlewaretoken", "next"}


def typed_in(request):
    """(name, text) of each field of a POST, but passwords."""
    return [
        (name, value[:LONGEST])
        for name, value in request.POST.items()
        if value.strip() and "password" not in name and name not in NOT_TYPED
    ]
