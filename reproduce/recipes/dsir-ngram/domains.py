"""Documents of many domains: packages of Python's standard library and synthetic languages.

Of each domain some documents lie in the pool, some say what is wanted, some judge what was learnt.
"""

import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reproduce.recipes.blocks.grammar import Grammar
from reproduce.recipes.corpora import SKIPPED

DOCUMENT = 1024  # bytes
PACKAGES = 10  # at most; the rest are languages
GENERAL = "top-level modules"  # part of the pool, never wanted
WORDS = 2050


@dataclass(frozen=True)
class Domain:
    """Documents as (count, DOCUMENT) uint8: for the pool, to say what is wanted, and to judge by."""

    name: str
    pool: np.ndarray
    wanted: np.ndarray
    judge: np.ndarray


def collect(targets: int, pool: int, wanted: int, judge: int) -> tuple[list[Domain], np.ndarray]:
    """`targets` domains with so many documents each, and the general part of the pool: as many as all theirs.

    Documents of a package are taken evenly from all of its text, then split by place: no two overlap.
    """
    need = pool + wanted + judge
    found = []
    for name, text in _packages():
        if len(text) >= need * DOCUMENT and len(found) < min(PACKAGES, targets):
            found.append(_split(name, _documents(text, need), pool, wanted))
    for language in range(targets - len(found)):
        text = Grammar(language + 1, WORDS).text(need * DOCUMENT, seed=0).tobytes()
        found.append(_split(f"language {language + 1}", _documents(text, need), pool, wanted))
    modules = b"".join(path.read_bytes() for path in sorted(_library().glob("*.py")))
    count = min(pool * targets, len(modules) // DOCUMENT)
    return found, _documents(modules, count)


def record(domains: list[Domain], general: np.ndarray) -> dict[str, Any]:
    """For the provenance record."""
    return {
        "domains": [domain.name for domain in domains],
        "document_bytes": DOCUMENT,
        "documents_each": [len(part) for part in (domains[0].pool, domains[0].wanted, domains[0].judge)],
        "general": f"{len(general)} documents of {GENERAL}",
    }


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _packages() -> list[tuple[str, bytes]]:
    """Names and texts of packages, largest first."""
    folders = (path for path in _library().iterdir() if path.is_dir() and path.name not in SKIPPED)
    texts = [(path.name, b"".join(p.read_bytes() for p in sorted(path.rglob("*.py")))) for path in folders]
    return sorted(texts, key=lambda item: (-len(item[1]), item[0]))


def _documents(text: bytes, count: int) -> np.ndarray:
    starts = np.linspace(0, len(text) - DOCUMENT, count).astype(np.int64)
    return np.frombuffer(text, np.uint8)[starts[:, None] + np.arange(DOCUMENT)]


def _split(name: str, documents: np.ndarray, pool: int, wanted: int) -> Domain:
    order = np.random.default_rng(len(documents)).permutation(len(documents))
    parts = np.split(documents[order], [pool, pool + wanted])
    return Domain(name, *parts)
