"""The corpus as plain files: read with every fault named by file and entry, and written back byte for byte.

Needs no database. One .bib file an axis, taxonomy.toml, and claims.toml with the claims of each paper.
"""

import json
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from papers import bibtex, intake
from papers.facts import Facts
from papers.identity import Index
from papers.metrics import METRICS
from papers.models import AXES, Claim

SHIPPED = Path(__file__).parent / "corpus"
_NUMBER = (int, float)
CLAIM_TYPES: dict[str, tuple[type, ...]] = {
    **{"slug": (str,), "metric": (str,), "value": _NUMBER, "low": _NUMBER, "high": _NUMBER},
    **dict.fromkeys(("unit", "better", "baseline", "setting", "locator"), (str,)),
    **{"verified": (bool,), "source_kind": (str,), "range_kind": (str,)},
}
RANGE_KINDS = {"paper": True, "editor": False}
LARGEST = sys.float_info.max
BIB_HEADER = """\
% {axis}: papers on efficient language models, as Spectrum exports them. Facts only; CC0-1.0.
% keywords: techniques of taxonomy.toml. code: where its code is. spectrum-sources: where the facts were seen;
% "known" is general knowledge. spectrum-verified = no: at least one of these facts is from there alone.

"""
CLAIMS_HEADER = """\
# What papers claim, by paper. verified = false: the number was not seen in a copy of the paper.
# range_kind: "paper" where the paper prints [low, high], "editor" where an editor chose a plausible band.

"""


class Technique(NamedTuple):
    slug: str
    name: str
    axis: str


@dataclass
class Corpus:
    techniques: list[Technique] = field(default_factory=list)
    papers: list[Facts] = field(default_factory=list)
    claims: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # key of the paper -> its claims
    faults: list[str] = field(default_factory=list)


def read(folder: Path = SHIPPED) -> Corpus:
    """Everything in the folder; `faults` has a sentence on each thing that is wrong with it."""
    corpus = Corpus()
    _read_taxonomy(folder / "taxonomy.toml", corpus)
    index: Index[Facts] = Index()
    for axis in AXES:
        _read_bib(folder / f"{axis}.bib", corpus, index)
    corpus.faults += (
        f"{path.name}: no axis is called that." for path in folder.glob("*.bib") if path.stem not in AXES
    )
    _read_claims(folder / "claims.toml", corpus, index)
    return corpus


def write_bib(axis: str, papers: Iterable[Facts]) -> str:
    """The file of one axis, by year and key."""
    entries = bibtex.write(sorted(papers, key=lambda facts: (facts.year, facts.key)))
    return BIB_HEADER.format(axis=AXES[axis]) + "\n".join(entries)


def write_taxonomy(techniques: Iterable[Technique]) -> str:
    by_axis: dict[str, list[str]] = {axis: [f"[{axis}]"] for axis in AXES}
    for slug, name, axis in techniques:
        by_axis[axis].append(f"{slug} = {_toml(name)}")
    return "\n\n".join("\n".join(lines) for lines in by_axis.values()) + "\n"


def write_claims(papers: Iterable[tuple[Facts, Sequence[Mapping[str, Any]]]]) -> str:
    """Papers by year and key; claims in the paper's own order."""
    parts = [CLAIMS_HEADER]
    for facts, claims in sorted(papers, key=lambda pair: (pair[0].year, pair[0].key)):
        name = claim_name(facts)
        parts.append(f"# {facts.title}\n")
        parts += (f"{_toml_table(name, claim)}\n" for claim in claims)
    return "".join(parts).rstrip() + "\n"


def claim_name(facts: Facts) -> str:
    """How claims.toml names a paper: by its arXiv id or DOI, else by its key."""
    ids = dict(sorted(facts.identifiers, reverse=True))
    return next(
        (f"{scheme}:{ids[scheme]}" for scheme in ("arxiv", "doi") if scheme in ids), f"key:{facts.key}"
    )


def home_axis(facts: Facts, axes: Mapping[str, str]) -> str:
    """The axis of its first technique, in whose file a paper stands."""
    return axes[facts.techniques[0]]


def _toml_table(name: str, claim: Mapping[str, Any]) -> str:
    return "\n".join([f"[[{_toml(name)}]]", *(f"{key} = {_toml(claim[key])}" for key in CLAIM_TYPES), ""])


def _toml(value: Any) -> str:
    """JSON's strings, numbers and booleans are TOML's too."""
    return json.dumps(value, ensure_ascii=False)


def _load_toml(path: Path, corpus: Corpus) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        corpus.faults.append(f"{path.name}: {error.strerror}.")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        corpus.faults.append(f"{path.name}: {error}.")
    return {}


def _read_taxonomy(path: Path, corpus: Corpus) -> None:
    for axis, techniques in _load_toml(path, corpus).items():
        if axis not in AXES or not isinstance(techniques, dict):
            corpus.faults.append(f"{path.name}: {axis} is not one of the axes {', '.join(AXES)}.")
            continue
        for slug, name in techniques.items():
            if (
                not re.fullmatch(r"[a-z0-9-]{1,50}", slug)
                or not isinstance(name, str)
                or not 0 < len(name) <= 100
                or not name.isprintable()
            ):
                corpus.faults.append(f'{path.name}: {axis}.{slug}: write slug = "Name", at most 100 letters.')
            corpus.techniques.append(Technique(slug, str(name), axis))
    slugs = [technique.slug for technique in corpus.techniques]
    corpus.faults += (
        f"{path.name}: {slug} stands there twice." for slug in {s for s in slugs if slugs.count(s) > 1}
    )


def _read_bib(path: Path, corpus: Corpus, index: Index[Facts]) -> None:
    """The papers of one file; `index` has those of the files before it, and gets these."""
    axes = {technique.slug: technique.axis for technique in corpus.techniques}
    order = list(axes)
    try:
        text = intake.decode(path.read_bytes())
    except OSError as error:
        corpus.faults.append(f"{path.name}: {error.strerror}.")
        return
    except intake.Refused as refusal:
        corpus.faults.append(f"{path.name}: {refusal}")
        return
    keys = {facts.key for facts in corpus.papers}
    for reading in intake.read(text, set(axes)):
        facts = reading.facts
        facts.techniques = sorted(set(facts.techniques), key=order.index)
        faults = [*reading.faults, *reading.notes, *_misplaced(facts, axes, path.stem)]
        if facts.key in keys:
            faults.append("another paper has this key.")
        if same := index.find(facts):
            faults.append(f"is the paper {same[0].key} again: {same[1]}.")
        name = facts.key or reading.raw.split("\n")[0][:60]
        corpus.faults += (f"{path.name}: {name}: {fault}" for fault in faults)
        corpus.papers.append(facts)
        index.add(facts, facts)
        keys.add(facts.key)


def _misplaced(facts: Facts, axes: Mapping[str, str], axis: str) -> Iterator[str]:
    """What keeps a paper out of the file of an axis, however well it reads."""
    if not re.fullmatch(r"[a-z0-9]{3,80}", facts.key):
        yield "its key is not made of small letters and digits."
    if not facts.techniques:
        yield "keywords name no technique of taxonomy.toml."
    elif home_axis(facts, axes) != axis:
        yield f"belongs into {home_axis(facts, axes)}.bib, by its first technique."


def _read_claims(path: Path, corpus: Corpus, index: Index[Facts]) -> None:
    by_key = {facts.key: facts for facts in corpus.papers}
    # By paper and metric: a paper may be named in two ways, and its claims are still one list.
    seen: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, claims in _load_toml(path, corpus).items():
        facts = by_key.get(name.removeprefix("key:")) if name.startswith("key:") else index.named(name)
        if facts is None:
            corpus.faults.append(f"{path.name}: {name}: no paper of the corpus is called that.")
            continue
        if not isinstance(claims, list) or not all(isinstance(claim, dict) for claim in claims):
            corpus.faults.append(f'{path.name}: {name}: begin each of its claims with [["{name}"]].')
            continue
        for claim in claims:
            faults = _claim_faults(claim, seen[facts.key])
            corpus.faults += (f"{path.name}: {name}: {fault}" for fault in faults)
        corpus.claims.setdefault(facts.key, []).extend(claims)


def _claim_faults(claim: dict[str, Any], seen: dict[str, int]) -> Iterator[str]:
    """What is wrong with one claim; `seen` counts the claims of each metric that came before in its paper."""
    slug = claim.get("slug", "a claim without slug")
    wrong = [name for name, kind in CLAIM_TYPES.items() if type(claim.get(name)) not in kind]
    if wrong := wrong + sorted(set(claim) - set(CLAIM_TYPES)):
        yield f"{slug}: missing, of a wrong type or unknown: {', '.join(wrong)}."
        return
    metric = claim["metric"]
    seen[metric] += 1
    expected = metric if seen[metric] == 1 else f"{metric}-{seen[metric]}"
    checks = {
        f"the vocabulary has no metric {metric}": metric in METRICS,
        f"must be called {expected}, after its metric": slug == expected,
        "value is not within low and high": claim["low"] <= claim["value"] <= claim["high"],
        "low and high are finite numbers": claim["low"] >= -LARGEST and claim["high"] <= LARGEST,
        "better is higher, lower or either": claim["better"] in Claim.Better.values,
        "range_kind is paper or editor": claim["range_kind"] in RANGE_KINDS,
        "locator is empty; say where the paper says so": bool(claim["locator"].strip()),
    }
    for name in ("unit", "baseline", "setting", "locator", "source_kind"):
        checks[f"{name} is too long"] = len(claim[name]) <= Claim._meta.get_field(name).max_length
        checks[f"{name} holds a sign that cannot be printed"] = claim[name].isprintable()
    yield from (f"{slug}: {sentence}." for sentence, holds in checks.items() if not holds)
