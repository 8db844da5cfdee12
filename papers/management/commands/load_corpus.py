"""Bring the database up to the corpus files; with --check only say what is wrong with the files."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from papers import corpus_files, curation

BAR = 40


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = []  # --check must not need a database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="validate the files without a database")
        parser.add_argument(
            "--folder", type=Path, default=corpus_files.SHIPPED, help="default: papers/corpus"
        )

    def handle(self, *args: str, check: bool, folder: Path, **options: Any) -> None:
        corpus = corpus_files.read(folder)
        if corpus.faults:
            raise CommandError("\n".join(corpus.faults) + "\nNothing was loaded.")
        claims = sum(map(len, corpus.claims.values()))
        if check:
            self.stdout.write(f"Corpus: {len(corpus.papers):,} papers and {claims} claims, no fault.")
            return
        loaded = curation.load(corpus, self.show_progress)
        self.stdout.write(f"Corpus: {_sentence(loaded)}.")

    def show_progress(self, what: str, done: int, total: int) -> None:
        """A bar on a terminal; elsewhere the closing line is enough."""
        if not self.stdout.isatty():
            return
        filled = BAR * done // total
        end = "\n" if done == total else "\r"
        self.stdout.write(f"{what} [{'█' * filled}{' ' * (BAR - filled)}] {done:,}/{total:,}", ending=end)
        self.stdout.flush()


def _sentence(loaded: curation.Loaded) -> str:
    parts = [f"{loaded.papers:,} papers ({_details(loaded.new, loaded.revised, loaded.kept)})"]
    parts.append(
        f"{loaded.claims} claims ({_details(loaded.new_claims, loaded.revised_claims, loaded.kept_claims)})"
    )
    return ", ".join(parts)


def _details(new: int, revised: int, kept: int) -> str:
    if not (new or revised or kept):
        return "unchanged"
    kept_words = f", {kept} kept as moderators changed them" if kept else ""
    return f"{new:,} new, {revised} brought up to date{kept_words}"
