"""The shipped corpus in the database: loaded as often as one likes, never over what a moderator changed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Q

from papers import corpus_files, identity, moderation, records
from papers.changes import lock
from papers.corpus_files import RANGE_KINDS, Corpus
from papers.facts import Facts
from papers.metrics import METRICS
from papers.models import AXES, Change, Claim, FormerKey, Paper, Technique

ACTION = "load"
WHY = "From the corpus files"
CHUNK = 100

Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass
class Loaded:
    """How many papers and claims were new, brought up to the files, or left as a moderator changed them."""

    papers: int = 0
    new: int = 0
    revised: int = 0
    kept: int = 0
    claims: int = 0
    new_claims: int = 0
    revised_claims: int = 0
    kept_claims: int = 0


@transaction.atomic
def load(corpus: Corpus, progress: Progress) -> Loaded:
    """Bring the database up to a corpus without faults. Loading it again writes nothing."""
    lock()
    _load_taxonomy(corpus)
    loaded = Loaded(papers=len(corpus.papers), claims=sum(map(len, corpus.claims.values())))
    settled = _settled_by_people()
    papers = _load_papers(corpus, settled, loaded, progress)
    _load_claims(corpus, papers, settled, loaded)
    return loaded


def export(folder: Path) -> None:
    """Write the curated papers, the taxonomy and the curated claims as the corpus files."""
    axes = dict(Technique.objects.values_list("slug", "axis"))
    curated = Paper.objects.filter(origin=Paper.Origin.CURATED).prefetch_related(
        "identifiers", "techniques", "claims"
    )
    papers = [(Facts.of(paper), _curated_claims(paper)) for paper in curated]
    for axis in AXES:
        here = [facts for facts, _ in papers if corpus_files.home_axis(facts, axes) == axis]
        _write(folder / f"{axis}.bib", corpus_files.write_bib(axis, here))
    techniques = Technique.objects.values_list("slug", "name", "axis")
    _write(
        folder / "taxonomy.toml",
        corpus_files.write_taxonomy(corpus_files.Technique(*row) for row in techniques),
    )
    _write(
        folder / "claims.toml",
        corpus_files.write_claims((facts, claims) for facts, claims in papers if claims),
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _curated_claims(paper: Paper) -> list[dict[str, Any]]:
    kinds = {printed: kind for kind, printed in RANGE_KINDS.items()}
    return [
        {**records.claim_values(claim), "range_kind": kinds[claim.range_printed]}
        for claim in paper.claims.all()
        if claim.provenance == Claim.Provenance.CURATED
    ]


def _load_taxonomy(corpus: Corpus) -> None:
    stored = {row["slug"]: row for row in Technique.objects.values("slug", "name", "axis", "position")}
    rows = [
        {**technique._asdict(), "position": position} for position, technique in enumerate(corpus.techniques)
    ]
    Technique.objects.bulk_create(
        [Technique(**row) for row in rows if row != stored.get(row["slug"])],
        update_conflicts=True,
        unique_fields=["slug"],
        update_fields=["name", "axis", "position"],
    )


def _settled_by_people() -> set[str]:
    """Subjects on which people had the last word: a change not undone, or the undoing of what was loaded."""
    decided = ~Q(action__in=[ACTION, "undo"]) & Q(undone_by=None)
    overruled = Q(action="undo", undoes__action=ACTION)
    return set(Change.objects.filter(decided | overruled).values_list("subject", flat=True))


def _load_papers(corpus: Corpus, settled: set[str], loaded: Loaded, progress: Progress) -> dict[str, Paper]:
    """The stored paper of each key in the corpus, where there is one."""
    stored = _stored_papers(corpus)
    new = [
        facts for facts in corpus.papers if facts.key not in stored and f"paper {facts.key}" not in settled
    ]
    for facts in corpus.papers:
        if facts.key in stored:
            _bring_up(stored[facts.key], facts, settled, loaded)
    loaded.kept += len(corpus.papers) - len(stored) - len(new)
    for start in range(0, len(new), CHUNK):
        many = new[start : start + CHUNK]
        origin = Paper.Origin.CURATED
        for paper in moderation.publish_all(many, who=None, why=WHY, origin=origin, action=ACTION):
            stored[paper.key] = paper
        progress("papers", start + len(many), len(new))
    loaded.new = len(new)
    return stored


def _stored_papers(corpus: Corpus) -> dict[str, Paper]:
    keys = [facts.key for facts in corpus.papers]
    curated = Paper.objects.filter(key__in=keys).prefetch_related("identifiers", "techniques")
    stored = {paper.key: paper for paper in curated}
    retired = FormerKey.objects.filter(key__in=keys).select_related("paper")
    stored |= {former.key: former.paper for former in retired}
    others = [facts for facts in corpus.papers if facts.key not in stored]
    matches = zip(others, identity.match_all(others), strict=True)
    return stored | {facts.key: match.paper for facts, match in matches if match}


def _bring_up(paper: Paper, facts: Facts, settled: set[str], loaded: Loaded) -> None:
    if Facts.of(paper).to_json() == facts.to_json() | {"key": paper.key}:
        return
    if paper.origin != Paper.Origin.CURATED or f"paper {paper.key}" in settled:
        loaded.kept += 1
        return
    moderation.revise(paper, facts, why=WHY, action=ACTION)
    loaded.revised += 1


def _load_claims(corpus: Corpus, papers: dict[str, Paper], settled: set[str], loaded: Loaded) -> None:
    stored = {(claim.paper_id, claim.slug): claim for claim in Claim.objects.select_related("paper")}
    retired = set(FormerKey.objects.filter(key__in=corpus.claims).values_list("key", flat=True))
    new = []
    for key, claims in corpus.claims.items():
        if key in retired:  # merged by people, and its claims with it
            loaded.kept_claims += len(claims)
            continue
        for position, claim in enumerate(claims if key in papers else []):
            values = _values(claim, position)
            here = stored.get((papers[key].pk, claim["slug"]))
            people = f"claim {papers[key].key}/{claim['slug']}" in settled
            if here is None and not people:
                new.append(Claim(paper=papers[key], provenance=Claim.Provenance.CURATED, **values))
            elif here is None or records.claim_values(here) != values:
                _bring_up_claim(here, values, people, loaded)
    moderation.publish_claims(new, why=WHY, action=ACTION)
    loaded.new_claims = len(new)


def _bring_up_claim(here: Claim | None, values: dict[str, Any], people: bool, loaded: Loaded) -> None:
    if here is None or people or here.provenance != Claim.Provenance.CURATED:
        loaded.kept_claims += 1
        return
    moderation.revise_claim(here, values, why=WHY, action=ACTION)
    loaded.revised_claims += 1


def _values(claim: dict[str, Any], position: int) -> dict[str, Any]:
    values = {name: value for name, value in claim.items() if name != "range_kind"}
    return values | {
        "kind": METRICS[claim["metric"]].kind,
        "value": float(claim["value"]),
        "low": float(claim["low"]),
        "high": float(claim["high"]),
        "range_printed": RANGE_KINDS[claim["range_kind"]],
        "position": position,
    }
