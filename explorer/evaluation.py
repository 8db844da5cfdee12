"""Which papers a typed query means: its terms evaluated on bitmaps, and how well each paper's title fits.

Titles and abstracts are stemmed, names are not: a word may match either way, as PostgreSQL stems it.
"""

from dataclasses import replace
from functools import lru_cache, reduce
from itertools import pairwise

from django.db import connection
from pyroaring import BitMap

from explorer.prepared import Prepared
from explorer.snapshot import EMPTY
from explorer.words import SHORTEST_BEGINNING

MOST_NAMED = 5000  # candidates of a phrase that are named one by one; beyond, its index is faster
# While "quantizat" is typed, nothing begins so: the stem is "quantiz". These ends complete it to words.
SUFFIXES = ("ations", "ities", "ements", "ances", "ences", "ively", "fully", "ingly", "ables", "ibles")
SUFFIXES += ("izers", "ised", "ized", "ional", "ness", "isms", "ists", "ing", "ers", "e")
ENDS = sorted({suffix[start:end] for suffix in SUFFIXES for end in (-1, None) for start in range(5)} - {""})

LEXEMES = Prepared(
    "lexemes",
    "text",
    "SELECT tsvector_to_array(to_tsvector('english', folded)),"
    " tsvector_to_array(to_tsvector('simple', folded)) FROM spectrum_folded($1) AS folded",
)
FOLDED = Prepared("folded", "text", "SELECT lower(spectrum_folded($1))")
STEMS = Prepared(
    "stems",
    "text, text[]",
    "SELECT DISTINCT unnest(tsvector_to_array(to_tsvector('english', $1 || tail))) FROM unnest($2) tail",
)


def matching(snapshot, alternatives):
    """The papers of a query; none if there is no word in it."""
    return BitMap.union(EMPTY, *(_all_of(snapshot, terms) for terms in alternatives))


def title_bands(snapshot, found, alternatives):
    """`found` cut by how many of the words are in the title, most first: the order of relevance."""
    levels = [found]
    for term in (term for terms in alternatives for term in terms):
        if term.negated or term.field not in ("", "title"):
            continue
        titled = _titled(snapshot, term) & found
        above = [level & titled for level in levels]
        levels = [
            levels[0],
            *(level | more for level, more in zip(levels[1:], above, strict=False)),
            above[-1],
        ]
    return [level - better for level, better in pairwise([*levels, EMPTY])][::-1]


def _all_of(snapshot, terms):
    wanted = [_of(snapshot, term) for term in terms if not term.negated]
    unwanted = [_of(snapshot, term) for term in terms if term.negated and not _is_stop_word(term)]
    found = reduce(BitMap.__and__, sorted(wanted, key=len), snapshot.papers)
    return reduce(BitMap.__sub__, unwanted, found)


def _of(snapshot, term):
    if term.field in ("", "title", "author"):
        return _of_text(snapshot, term)
    if term.field == "year":
        return years(snapshot, *term.values)
    return BitMap.union(EMPTY, *(snapshot.facet(term.field, value) for value in term.values))


def years(snapshot, first, last):
    """The papers of these years; None leaves an end open."""
    span = (
        year
        for year in snapshot.months
        if (not first or year >= str(first)) and (not last or year <= str(last))
    )
    return BitMap.union(EMPTY, *(snapshot.facet("year", year) for year in span))


def _of_text(snapshot, term):
    place = {"": "w", "title": "t", "author": "a"}[term.field]
    if term.begins:
        whole = replace(term, begins=False)
        complete = EMPTY if _is_stop_word(whole) else _of_text(snapshot, whole)
        return _begun(snapshot, place, term.text) | complete
    if _is_stop_word(term):
        return snapshot.papers  # "attention is all you need" finds its paper
    english, simple = lexemes(term.text)
    ways = {"": [english, simple], "title": [english], "author": [simple]}[term.field]
    found = BitMap.union(EMPTY, *(_words(snapshot, place, way) for way in ways))
    if term.phrase:
        return _in_a_row(found, term.text, place)
    if "-" in term.text.strip("-") and place != "a":  # kv-cache finds "KV cache" as well
        parts = term.text.replace("-", " ")
        found |= _in_a_row(_words(snapshot, place, lexemes(parts)[0]), parts, place)
    return found


def _is_stop_word(term):
    """Whether PostgreSQL knows no word in it: an English stop word, if it is no name."""
    if term.begins or term.field not in ("", "title", "author"):
        return False
    english, simple = lexemes(term.text)
    return not (simple if term.field == "author" else english)


def _titled(snapshot, term):
    english, _ = lexemes(term.text)
    if term.begins:
        return _begun(snapshot, "t", term.text)
    return _words(snapshot, "t", english) if english else EMPTY


def _words(snapshot, place, words):
    if not words:
        return EMPTY
    return reduce(BitMap.__and__, sorted((snapshot.word(f"{place}/{word}") for word in words), key=len))


def _begun(snapshot, place, text):
    """Words that begin so, and those that do once they are complete, though their stem is shorter."""
    plain = folded(text)
    if len(plain) < SHORTEST_BEGINNING:
        return EMPTY
    found = snapshot.beginning(f"{place}/{plain}")
    stems = stems_behind(plain) if place != "a" else ()
    return BitMap.union(found, *(snapshot.word(f"{place}/{stem}") for stem in stems))


def _in_a_row(candidates, text, place):
    """Those of the candidates that have these words one after the other."""
    if not candidates:
        return candidates
    vector = {"w": "search", "t": "ts_filter(search, '{a}')", "a": "ts_filter(search, '{b}')"}[place]
    query = "phraseto_tsquery('simple', spectrum_folded(%s))"
    parameters = [text]
    if place != "a":
        query = f"(phraseto_tsquery('english', spectrum_folded(%s)) || {query})"
        parameters.append(text)
    few = len(candidates) <= MOST_NAMED or place != "w"
    where = "id = ANY(%s) AND " if few else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM papers_paper WHERE {where}{vector} @@ {query}",
            [*([candidates.to_array().tolist()] if few else []), *parameters],
        )
        return BitMap([number for (number,) in cursor]) & candidates


@lru_cache(maxsize=8192)
def lexemes(text):
    """(stemmed, as it is): the lexemes of a text by PostgreSQL's own rules."""
    return tuple(tuple(each) for each in LEXEMES.rows(text)[0])


@lru_cache(maxsize=8192)
def folded(text):
    return FOLDED.rows(text)[0][0]


@lru_cache(maxsize=8192)
def stems_behind(beginning):
    """The stems, shorter than the beginning itself, of words that it may become."""
    return tuple(
        stem
        for (stem,) in STEMS.rows(beginning, ENDS)
        if len(stem) < len(beginning) and beginning.startswith(stem) and len(stem) >= SHORTEST_BEGINNING
    )
