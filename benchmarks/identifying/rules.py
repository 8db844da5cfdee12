"""The rules compared: each is given the papers by key, and then finds the key of a reference or None."""

from rapidfuzz import fuzz, process

from papers import identity, neighbours
from papers.folding import fold


def title_alone(papers):
    """The same letters in the title."""
    keys = {identity.title_key(facts.title): key for key, facts in papers.items()}
    return lambda sent: keys.get(identity.title_key(sent.title))


def title_alike(least):
    """rapidfuzz alone: the most alike title, from a limit on."""

    def build(papers):
        titles = {key: fold(facts.title) for key, facts in papers.items()}

        def find(sent):
            found = process.extractOne(fold(sent.title), titles, scorer=fuzz.ratio, score_cutoff=least)
            return found and found[2]

        return find

    return build


def exact(papers):
    return _first(_filled(identity.Index(), papers))


def suspicion(papers):
    return _first(_filled(neighbours.Neighbours(), papers))


def both(papers):
    """What intake does: the suspicion is asked about what the exact rule leaves."""
    surely, perhaps = exact(papers), suspicion(papers)
    return lambda sent: surely(sent) or perhaps(sent)


def _filled(index, papers):
    for key, facts in papers.items():
        index.add(facts, key)
    return index


def _first(index):
    return lambda sent: (index.find(sent) or (None,))[0]
