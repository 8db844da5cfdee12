"""Letters as they are compared: without case and accents, so that spelling makes no difference."""

import unicodedata
from functools import lru_cache

_PLAIN_LETTERS = str.maketrans({"ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d", "ı": "i", "þ": "th"})


def fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_PLAIN_LETTERS)


@lru_cache(maxsize=20_000)
def title_key(title: str) -> str:
    """Letters and digits of a title without case or accents, so that spelling makes no second paper."""
    return ("".join(filter(str.isalnum, fold(title))) or title.strip().casefold())[:200]
