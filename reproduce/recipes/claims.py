"""What papers claim, as papers/corpus/claims.toml has it: read without a database."""

import difflib
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import papers
from reproduce.recipes.spec import Recipe

FILE = Path(papers.__file__).parent / "corpus" / "claims.toml"


@cache
def _known() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def of(paper: str) -> list[dict[str, Any]]:
    """The claims of the paper with that identifier, such as "arxiv:2205.14135"; none if it is not known."""
    return _known().get(paper, [])


def title(paper: str) -> str | None:
    """The paper's title as the file has it above the first claim."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    place = next((at for at, line in enumerate(lines) if line == f'[["{paper}"]]'), 0)
    above = lines[place - 1] if place else ""
    return above.removeprefix("# ") if above.startswith("# ") else None


def faults(recipe: Recipe) -> Iterator[str]:
    """A sentence for each measure that names a claim which its paper does not make, with those it makes."""
    made = {claim["slug"]: claim for claim in of(recipe.paper)}
    for number, measure in enumerate(recipe.measures, 1):
        if measure.claim and measure.claim not in made:
            yield (
                f"{recipe.slug}/recipe.toml: measures[{number}].claim names a claim {measure.claim!r} that "
                f"{recipe.paper} does not make; {_instead(recipe.paper, measure.metric)}"
            )


def _instead(paper: str, metric: str) -> str:
    if not of(paper):
        nearest = difflib.get_close_matches(paper, _known(), n=1, cutoff=0.85)
        meant = f" (did you mean {nearest[0]!r}?)" if nearest else ""
        return f"the corpus has no claims of this paper{meant}: add them to papers/corpus/claims.toml"
    alike = [claim for claim in of(paper) if claim["metric"] == metric]
    return f"its claims{f' of {metric}' if alike else ''} are: {'; '.join(map(_told, alike or of(paper)))}"


def _told(claim: dict[str, Any]) -> str:
    return f"{claim['slug']} ({claim['value']:g}: {claim['unit'][:60]})"
