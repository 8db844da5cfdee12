"""What recipes share besides timing: models, learning, data, decoding, counting.

Each module has a VERSION that is part of the digest of every recipe that imports it, itself or through
another block; raise it when a number may change.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent


def used_in(folder: Path) -> list[tuple[str, int]]:
    """Names and versions of the blocks that the modules in `folder` import, directly or through others.

    Read from the sources: no recipe is imported. Raises ValueError for a block without a version.
    """
    found: dict[str, int] = {}
    waiting = [name for path in sorted(folder.rglob("*.py")) for name in _imported(path)]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _version(FOLDER / f"{name}.py")
            waiting.extend(_imported(FOLDER / f"{name}.py"))
    return sorted(found.items())


def _imported(path: Path) -> Iterator[str]:
    """The blocks that a module names in its imports, of which there is a file."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module == __name__:
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").removeprefix(f"{__name__}.")]
        elif isinstance(node, ast.Import):
            names = [alias.name.removeprefix(f"{__name__}.") for alias in node.names]
        else:
            continue
        yield from (name for name in names if (FOLDER / f"{name}.py").is_file())


def _version(path: Path) -> int:
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION":
            return int(ast.literal_eval(node.value))
    raise ValueError(f"blocks/{path.name} has no VERSION.")
