"""Learn from the papers here which technique a title suggests. Needs scikit-learn (`make up` installs it)."""

import time
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from papers import suggestions
from papers.models import Learnt


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--if-changed", action="store_true", help="only when the papers are not those it was learnt from"
        )

    def handle(self, *args: str, if_changed: bool, **options: Any) -> None:
        started, papers = time.monotonic(), suggestions.stored_papers()
        if if_changed and Learnt.objects.filter(corpus=suggestions.digest(papers)).exists():
            self.stdout.write("Suggestions: learnt from these papers already.")
            return
        training = _training()
        try:
            learnt = training.train(papers)
        except training.TooFew as error:
            self.stdout.write(f"Suggestions: none. {error}")
            return
        size, took = len(learnt.weights) / 1e6, time.monotonic() - started
        self.stdout.write(f"Suggestions: {learnt.papers:,} papers, {size:.1f} MB of weights, {took:.1f} s.")


def _training() -> Any:
    """Imported late: scikit-learn takes seconds, and most starts of the site have nothing to learn."""
    try:
        return import_module("papers.suggestion_training")
    except ImportError as error:
        raise CommandError(f"{error}. Install it: pip install -e '.[worker]'.") from error
