"""Bring the database up to date: tables, corpus, shipped results, suggestions, the admin account.

One process for all steps, since starting Django takes longer than most. Each may be repeated freely.
"""

import os
import sys
import time
from importlib.util import find_spec
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
    "train_suggestions": "suggestions",
    "make_admin": "admin account",
}
QUIET = {"migrate", "createcachetable"}
OPTIONS = {"train_suggestions": {"if_changed": True}}


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)  # WhiteNoise warns of a folder that is not there
    for command, label in _steps().items():
        started = time.monotonic()
        try:
            call_command(command, verbosity=0 if command in QUIET else 1, **OPTIONS.get(command, {}))
        except (CommandError, OperationalError) as error:
            sys.exit(f"{label}: {error}")
        print(f"  {label:24}{time.monotonic() - started:6.1f} s", flush=True)


def _steps():
    """Without scikit-learn, or with SPECTRUM_LEARN=0, nothing is learnt, and the site works without."""
    learns = find_spec("sklearn") and os.environ.get("SPECTRUM_LEARN", "1") != "0"
    return {command: label for command, label in STEPS.items() if learns or command != "train_suggestions"}


if __name__ == "__main__":
    main()
