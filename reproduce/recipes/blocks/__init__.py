"""What recipes share besides timing: models, learning, data, decoding, counting.

Each module has a VERSION that is part of the digest of every recipe that imports it, itself or through
another block; raise it when a number may change.
"""

import ast
from functools import cache
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


def _imported(path: Path) -> list[str]:
    """The blocks that a module names in its imports, of which there is a file."""
    return [name for name in _read(path.read_bytes())[0] if (FOLDER / f"{name}.py").is_file()]


def _version(path: Path) -> int:
    version = _read(path.read_bytes())[1]
    if version is None:
        raise ValueError(f"blocks/{path.name} has no VERSION.")
    return version


@cache
def _read(source: bytes) -> tuple[tuple[str, ...], int | None]:
    """What a module imports, as if all of it were blocks, and its VERSION; parsed once for each content."""
    tree = ast.parse(source)
    names = tuple(name for node in ast.walk(tree) for name in _names(node))
    versions = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION"
    ]
    return names, int(ast.literal_eval(versions[0])) if versions else None


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and node.module == __name__:
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").removeprefix(f"{__name__}.")]
    if isinstance(node, ast.Import):
        return [alias.name.removeprefix(f"{__name__}.") for alias in node.names]
    return []
