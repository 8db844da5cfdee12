"""How fast a large submission is read, identified and stored; the baselines are bare bibtexparser and pybtex.

The text is made from the corpus with variations; `--entries` chooses how many.
"""

import argparse
import datetime
import os
import platform
import re
import subprocess
import time
from functools import partial
from pathlib import Path

import bibtexparser
import throwaway
from pybtex.database import parse_string
from throwaway import CHECKOUT, timed

IDENTIFIERS = r"^\s*(?:eprint|doi|url|spectrum-ids|archivePrefix|primaryClass) = .*\n"
TITLE = r"^(\s*title = \{)([^\n\\$]*)(?=\},$)"
ACCENTS = str.maketrans({"e": r"{\'e}", "o": r"{\"o}"})


def varied(count):
    """`count` entries of the corpus: the first copies as they are and already here, later ones new to it."""
    paths = sorted(Path(CHECKOUT, "papers", "corpus").glob("*.bib"))
    parts = re.split(r"\n(?=@)", "\n".join(path.read_text(encoding="utf-8") for path in paths))
    entries = [part[: part.rindex("}") + 1] for part in parts if part.startswith("@")]
    return "\n\n".join(vary(entries[n % len(entries)], n // len(entries)) for n in range(count)) + "\n"


def vary(entry, copy):
    """The same sort of entry by another key, title and identifiers, every third copy with more LaTeX."""
    if copy == 0:
        return entry
    entry = re.sub(r"^(@\w+\{[^,]+)", rf"\1copy{copy}", entry)
    entry = re.sub(IDENTIFIERS, "", entry, flags=re.MULTILINE)
    entry = re.sub(r"(^\s*title = \{)", rf"\1No. {copy}: ", entry, flags=re.MULTILINE)
    if copy % 3:
        return entry
    return re.sub(TITLE, lambda found: found[1] + found[2].translate(ACCENTS), entry, flags=re.MULTILINE)


def commit():
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    ).stdout.strip()


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(os.sched_getaffinity(0))
    return f"{cpu[1] if cpu else platform.machine()}, {cores} cores, Python {platform.python_version()}"


def row(name, seconds, entries):
    wall, cpu = seconds
    print(f"{name:50} {wall:6.2f} s ({cpu:5.2f} s of this process) {entries / wall:8,.0f} entries/s")


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--entries", type=int, default=5_000)
parser.add_argument("--repeats", type=int, default=3, help="each figure is the best of so many")
options = parser.parse_args()

throwaway.begin(corpus=True)

from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402

from papers import csl, identity, intake, ris  # noqa: E402
from papers.models import Entry, Submission, Technique  # noqa: E402
from papers.recognition import interpret, recognise  # noqa: E402

text = varied(options.entries)
techniques = set(Technique.objects.values_list("slug", flat=True))
who = User.objects.create_user("bench")


def best(action):
    """Seconds by the clock and of this process's processor time, of the quickest repeat."""
    return min(clocked(action) for _ in range(options.repeats))


def clocked(action):
    used = time.process_time()
    wall = timed(action)
    return wall, time.process_time() - used


def store():
    intake.submit(text, who=who)
    Submission.objects.all().delete()


def preview():
    """As a browser does it: post, follow, refresh. Seconds to the first page and to the last."""
    client = Client(headers={"host": "localhost"})
    client.force_login(who)
    client.get("/submit")  # the first request of a process loads everything
    start = time.perf_counter()
    address = client.post("/submit", {"text": text}).url
    page, first, pages = client.get(address), time.perf_counter() - start, 1
    while 'http-equiv="refresh"' in page.content.decode():
        page, pages = client.get(address), pages + 1
    return first, time.perf_counter() - start, pages


print(f"{datetime.date.today()}, {machine()}, commit {commit()}")
print(f"{options.entries:,} entries, {len(text.encode()) / 2**20:.1f} MB; best of {options.repeats}")
row("bibtexparser alone (baseline)", best(lambda: bibtexparser.parse_string(text)), options.entries)
row("pybtex alone (baseline)", best(lambda: parse_string(text, "bibtex")), options.entries)
row("recognise: split, @string, crossref, faults", best(lambda: recognise(text, 10_000)), options.entries)
blocks = recognise(text, 10_000).blocks
seconds = best(lambda: [interpret(block, techniques) for block in blocks])
row("interpret: facts, LaTeX, names, identifiers", seconds, len(blocks))
facts = [interpret(block, techniques).facts for block in blocks]
row("identify among the papers here", best(lambda: identity.match_all(facts)), len(facts))
row("all of it and storing: intake.submit()", best(store), options.entries)
for name, write in (("RIS", ris.write), ("CSL-JSON", csl.write)):
    written = "".join(write(facts))
    seconds = best(partial(intake.read, written, techniques))
    row(f"the same as {name}: recognise and interpret", seconds, len(facts))
first, last, pages = preview()
print(f"preview through the site: first page after {first:.2f} s, complete after {last:.2f} s, {pages} pages")
found = {state: Entry.objects.filter(found=state).count() for state in Entry.Found.values}
print(f"{Entry.objects.count():,} entries stored: {found}")
