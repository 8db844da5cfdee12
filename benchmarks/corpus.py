"""How long the corpus takes to load, first and again; the baseline is bibtexparser alone on its files."""

from pathlib import Path

import bibtexparser
import throwaway
from throwaway import CHECKOUT, timed

throwaway.begin()

from django.core.management import call_command  # noqa: E402

from papers.models import Claim, Paper  # noqa: E402


def bare():
    for path in sorted(Path(CHECKOUT, "papers", "corpus").glob("*.bib")):
        bibtexparser.parse_string(path.read_text(encoding="utf-8"))


def load():
    call_command("load_corpus", verbosity=0)


for name, action in [
    ("bibtexparser alone (baseline)", bare),
    ("into an empty database", load),
    ("again", load),
]:
    print(f"{name:45} {timed(action):8.2f} s")
print(f"{Paper.objects.count()} papers, {Claim.objects.count()} claims")
