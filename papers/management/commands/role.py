"""Give or take a role: `manage.py role moderator ada --why "Knows the field"`, or with `--take`."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from papers import roles


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", choices=[*roles.GROUPS])
        parser.add_argument("username")
        parser.add_argument("--take", action="store_true", help="take it instead of giving it")
        parser.add_argument("--why", default="From the command line", help="kept in the log at /roles")

    def handle(self, *args: str, role: str, username: str, take: bool, why: str, **options: Any) -> None:
        user = get_user_model().objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no account “{username}”; its owner makes it at /account/signup/.")
        try:
            done = (roles.take if take else roles.give)(user, role, who=None, why=why)
        except roles.Refused as refused:
            raise CommandError(str(refused)) from refused
        stands = f"is {'no longer ' if take else ''}a {role}"
        self.stdout.write(f"{username} {stands}." if done else f"{username} {stands} already.")
