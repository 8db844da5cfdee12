"""What it costs to look for possible duplicates of 500 references among many papers, at once.

`--papers 0 100000`: sizes, growing in one throwaway database; 0 is the real corpus alone.
"""

import argparse
import random
import statistics
import time
from functools import partial

import throwaway

throwaway.begin(corpus=True)

from django.db import connection  # noqa: E402
from identifying import labelled  # noqa: E402
from searching import synthetic  # noqa: E402
from searching.tables import machine, table  # noqa: E402

from config import embedded  # noqa: E402
from papers import identity, neighbours  # noqa: E402
from papers.facts import Facts  # noqa: E402
from papers.models import Paper  # noqa: E402

MANY, ROUNDS = 500, 3


def as_intake_does(facts):
    index = identity.index_around(facts)
    return [index.find(one) or index.suspect(one) for one in facts]


RULES = {
    "exact rule alone (baseline)": identity.match_all,
    "exact rule and possible duplicates, as intake asks": as_intake_does,
    "of that the query for candidates": neighbours.candidates,
}


def references():
    """Of papers that are here, by their text alone: half with a typing error, half without a sub-title."""
    chance, ids = random.Random(6), list(Paper.objects.values_list("pk", flat=True))
    papers = Paper.objects.defer("search").in_bulk(chance.sample(ids, MANY * ROUNDS))
    for at, paper in enumerate(papers.values()):
        title = paper.title.partition(": ")[0] if at % 2 else labelled.mistyped(paper.title, chance, 1)
        yield paper, Facts(title=title, authors=paper.authors, year=paper.year)


def measure(size):
    sent = list(references())
    rounds = [sent[at : at + MANY] for at in range(0, len(sent), MANY)]
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE papers_paper")
    took = {name: [] for name in RULES}
    found, compared = 0, 0
    for some in rounds:
        papers, facts = zip(*some, strict=True)
        for name, rule in RULES.items():
            before = time.process_time()
            took[name].append((throwaway.timed(partial(rule, facts)), time.process_time() - before))
        compared += len(neighbours.candidates(facts))
        matches = identity.suspect_all(facts)
        found += sum(paper == match.paper for paper, match in zip(papers, matches, strict=True) if match)
    for name, seconds in took.items():
        wall, own = (statistics.median(kind) for kind in zip(*seconds, strict=True))
        yield [f"{size:,}", name, f"{1e3 * wall:.0f} ms", f"{1e3 * own:.0f} ms"]
    yield [f"{size:,}", "papers compared; found again", f"{compared:,}", f"{found / len(sent):.1%}"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--papers", type=int, nargs="+", default=[0, 100_000], help="sizes; 0: the real corpus"
    )
    print(machine())
    rows = []
    for size in parser.parse_args().papers:
        if size > Paper.objects.count():
            columns = synthetic.plain_columns(Paper, synthetic.MADE)
            synthetic.grow(embedded.database_url(throwaway.VAR), size, columns)
        rows += measure(Paper.objects.count())
    table(["papers", "what", f"{MANY} references, median of {ROUNDS}", "of that this process"], rows)


if __name__ == "__main__":
    main()
