"""Make the account `admin`, once, with a random password that only the owner of SPECTRUM_VAR can read."""

import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand
from django.db import transaction

from papers import roles

NAME = "admin"
GROUPS = (roles.GROUPS[roles.MODERATOR], roles.GROUPS[roles.OPERATOR])


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: str, **options: Any) -> None:
        path = settings.VAR / "admin-password"
        with transaction.atomic():
            admin, made = get_user_model().objects.get_or_create(
                username=NAME, defaults={"is_staff": True, "is_superuser": True}
            )
            if made:
                password = secrets.token_urlsafe(12)
                admin.set_password(password)
                admin.save()
                admin.groups.set([Group.objects.get_or_create(name=name)[0] for name in GROUPS])
                _write_secret(path, password)
        self.stdout.write(
            f"Account {NAME} {'made' if made else 'is there'}; its first password is in {path}."
        )


def _write_secret(path: Path, text: str) -> None:
    """Readable by its owner from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{text}\n")
