"""Text for small language models, found on every machine: the standard library of this Python.

Code and prose are bytes; their file lists are hashed, since another Python version has other files.
"""

import ast
import hashlib
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VALIDATION_SHARE = 0.1
SKIPPED = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "__pycache__",
    "lib2to3",
    "idlelib",
    "turtledemo",
}


@dataclass(frozen=True)
class Corpus:
    """Bytes of one domain; the last tenth is for validation."""

    name: str
    content: bytes
    files: tuple[str, ...]

    @property
    def train(self) -> bytes:
        """What models learn from."""
        return self.content[: self._split]

    @property
    def validation(self) -> bytes:
        """What they are judged by; no model learns from it."""
        return self.content[self._split :]

    @property
    def _split(self) -> int:
        return int(len(self.content) * (1 - VALIDATION_SHARE))

    def record(self) -> dict[str, Any]:
        """For the provenance record."""
        return {
            "name": self.name,
            "bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "files": len(self.files),
            "files_sha256": hashlib.sha256("\n".join(self.files).encode()).hexdigest(),
            "split": f"last {VALIDATION_SHARE:.0%} for validation",
        }


def code(limit: int) -> Corpus:
    """Source of the top-level modules, at most `limit` bytes. Raises ValueError if there is none."""
    return _collect("stdlib code", sorted(_library().glob("*.py")), limit, _source)


def prose(limit: int) -> Corpus:
    """English: docstrings of the modules inside packages, disjoint from `code`, at most `limit` bytes.

    Raises ValueError if there is none.
    """
    inside = (path for path in sorted(_library().rglob("*.py")) if not SKIPPED & set(path.parts))
    return _collect("stdlib docstrings", [p for p in inside if p.parent != _library()], limit, _docstrings)


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _collect(name: str, paths: list[Path], limit: int, extract: Any) -> Corpus:
    parts, used, size = [], [], 0
    for path in paths:
        if size >= limit:
            break
        part = extract(path)
        parts.append(part)
        used.append(path.relative_to(_library()).as_posix())
        size += len(part)
    if not size:
        raise ValueError("This Python has no sources of its standard library to learn from.")
    return Corpus(name, b"".join(parts)[:limit], tuple(used))


def _source(path: Path) -> bytes:
    return path.read_bytes()


def _docstrings(path: Path) -> bytes:
    return b"".join(f"{text}\n\n".encode() for text in _found(path))


def _found(path: Path) -> Iterator[str]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield text
