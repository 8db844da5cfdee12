"""The labelled set: the corpus, and references to it of which it is known which paper they are.

Made from the corpus by fixed rules and fixed seeds, and from pairs.toml by hand; half of it is held out.
"""

import hashlib
import random
import tomllib
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from papers import corpus_files
from papers.facts import Facts

PAIRS = Path(__file__).with_name("pairs.toml")
SHORT = {"Large Language Models": "LLMs", "Large Language Model": "LLM", "Mixture-of-Experts": "MoE"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Case:
    """One reference as somebody might send it; `same` is the key of its paper, or None for one not here."""

    kind: str
    sent: Facts
    same: str | None
    held_out: bool


def corpus():
    """The papers by key."""
    return {facts.key: facts for facts in corpus_files.read(corpus_files.SHIPPED).papers}


def cases(papers):
    """Every case. Whether it is held out hangs on the paper it was made from: none is on both sides."""
    ranked = list(papers.values())
    for facts in ranked:
        chance = random.Random(facts.key)
        stranger = _stranger(facts, ranked, chance)
        for kind, sent in _changed(facts, chance):
            yield Case(kind, sent, facts.key, held_out(facts.key))
        for kind, sent in _others(facts, stranger, chance):
            yield Case(kind, sent, None, held_out(facts.key))
    yield from _by_hand(papers)


def held_out(name):
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def unnamed(facts, **over):
    """The facts without identifiers: as people type them, and the harder case."""
    return replace(facts, identifiers=[], **over)


def _stranger(facts, ranked, chance):
    """Another paper, by people of other names."""
    names = _surnames(facts)
    while True:
        other = chance.choice(ranked)
        if other.authors and not names & _surnames(other):
            return other


def _surnames(facts):
    return {author.split(",")[0] for author in facts.authors.split(" and ")}


def _changed(facts, chance):
    """The same paper, sent in another way."""
    title, authors = facts.title, facts.authors.split(" and ")
    doi = [["doi", f"10.5555/{facts.key}"]]
    yield (
        "published: DOI, venue, a year later",
        replace(facts, identifiers=doi, venue="J", year=facts.year + 1),
    )
    yield "journal two years later", replace(facts, identifiers=doi, venue="J", year=facts.year + 2)
    yield (
        "spelling: case, hyphens, accents",
        unnamed(facts, title=_plain(title), authors=" and ".join(map(_plain, authors))),
    )
    yield "first names as initials", unnamed(facts, authors=" and ".join(map(_initial, authors)))
    yield "one typing error", unnamed(facts, title=mistyped(title, chance, 1))
    yield "three typing errors", unnamed(facts, title=mistyped(title, chance, 3))
    if len(authors) > 1:
        yield "other order of authors", unnamed(facts, authors=" and ".join(authors[1:] + authors[:1]))
        error = mistyped(title, chance, 1)
        yield "first author alone, typing error", unnamed(facts, title=error, authors=authors[0])
    if all("," in author for author in authors):
        yield "first and last names exchanged", unnamed(facts, authors=" and ".join(map(_exchanged, authors)))
    if ": " in title:
        name, _, rest = title.partition(": ")
        yield "sub-title dropped", unnamed(facts, title=name)
        yield "name before the colon dropped", unnamed(facts, title=rest)
    else:
        yield (
            "sub-title added",
            unnamed(facts, title=f"{title}: {chance.choice(SUBTITLES)}", year=facts.year + 1),
        )
    for long, short in SHORT.items():
        if long in title:
            yield "abbreviated", unnamed(facts, title=title.replace(long, short), year=facts.year + 1)
            break


SUBTITLES = ("An Empirical Study", "Theory and Practice", "A Scalable Approach", "Extended Version")


def _others(facts, stranger, chance):
    """Other papers that look like it."""
    title, name = facts.title, facts.title.partition(": ")[0]
    year = facts.year + chance.randrange(2)
    yield "the paper itself, left out", unnamed(facts)
    yield "series: X 2", unnamed(facts, title=f"{title} 2", year=year)
    yield "series: X-2, other sub-title", unnamed(facts, title=f"{name}-2: {stranger.title}", year=year)
    yield "series: X, Part II", unnamed(facts, title=f"{title}, Part II", year=year)
    yield "same title, other authors", unnamed(facts, authors=stranger.authors, year=year)
    surname, comma, _ = facts.authors.partition(",")
    if comma:
        alone = f"{surname}, {chance.choice(('Qiu', 'Ulla', 'Zoe'))}"
        yield "same title, a namesake", unnamed(facts, authors=alone, year=year)
        others = f"{facts.authors.split(' and ')[0]} and {stranger.authors}"
        yield "same title, same first author, strangers else", unnamed(facts, authors=others, year=year)
    yield (
        "a reply by others",
        unnamed(facts, title=f"A Comment on “{title}”", authors=stranger.authors, year=year),
    )
    if "arxiv" in dict(facts.identifiers):
        arxiv = [["arxiv", f"9901.{chance.randrange(10**5):05}"]]
        yield "another arXiv id, same title", replace(facts, identifiers=arxiv)
        yield (
            "another arXiv id, like title",
            replace(facts, title=mistyped(title, chance, 1), identifiers=arxiv),
        )


def _by_hand(papers):
    pairs = tomllib.loads(PAIRS.read_text(encoding="utf-8"))
    for pair in pairs["same"]:
        sent = unnamed(papers[pair["key"]], title=pair["title"], year=pair["year"])
        yield Case("by hand: retitled", sent, pair["key"], held_out(pair["key"]))
    for pair in pairs["other"]:
        yield Case("by hand: another paper", Facts(**pair), None, held_out(pair["title"]))


def _plain(text):
    bare = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return bare.replace("-", " ").upper()


def _initial(author):
    last, comma, first = author.partition(", ")
    return f"{last}{comma}{first[:1]}{'.' if first else ''}"


def _exchanged(author):
    last, _, first = author.partition(", ")
    return f"{first}, {last}"


def mistyped(title, chance, times):
    """A letter lost, doubled, wrong, or changed with its neighbour."""
    for _ in range(times):
        at = chance.choice([at for at, letter in enumerate(title[:-1]) if letter.isalpha()] or [0])
        title = (
            chance.choice(
                (
                    title[:at] + title[at + 1 :],
                    title[: at + 1] + title[at:],
                    title[:at] + chance.choice(LETTERS) + title[at + 1 :],
                    title[:at] + title[at + 1] + title[at] + title[at + 2 :],
                )
            )
            if len(title) > 3
            else title
        )
    return title
