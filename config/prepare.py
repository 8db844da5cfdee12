"""Bring the database up to date: tables, corpus, shipped results, the admin account.

One process for all steps, since starting Django takes longer than most. Each may be repeated freely.
"""

import os
import sys
import time
from pathlib import Path

import django
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError

STEPS = {
    "migrate": "tables",
    "createcachetable": "cache",
    "load_corpus": "corpus",
    "load_results": "shipped results",
    "make_admin": "admin account",
}
QUIET = {"migrate", "createcachetable"}


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)  # WhiteNoise warns of a folder that is not there
    for command, label in STEPS.items():
        started = time.monotonic()
        try:
            call_command(command, verbosity=0 if command in QUIET else 1)
        except (CommandError, OperationalError) as error:
            sys.exit(f"{label}: {error}")
        print(f"  {label:24}{time.monotonic() - started:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
