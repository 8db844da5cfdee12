"""The value of a BibTeX field: braces, quotes, numbers, @string names, and any of these joined by #."""

import re

LONGEST_JOINED = 100_000  # @strings that double one another would fill the memory
_BRACED_TEXT = re.compile(r"\{[^{}]*+(?<!\\)\}")  # most values
_BRACE = re.compile(r"(?<!\\)[{}]")
_BRACE_OR_QUOTE = re.compile(r'(?<!\\)[{}"]')
_BARE_WORD = re.compile(r'[^\s#"{}=,]+')


def evaluate(value: str, macros: dict[str, str], unknown: list[str]) -> str:
    """The text of {...}, "...", 2020, jan and of such joined by #. Raises ValueError with a phrase.

    `macros` are the @strings by lower-case name; words that none of them defines are added to `unknown`.
    """
    if _BRACED_TEXT.fullmatch(value):
        return value[1:-1]
    parts, position, length = [], 0, 0
    while position < len(value):
        text, position = _operand(value, position, macros, unknown)
        parts.append(text)
        length += len(text)
        if len(parts) > 1 and length > LONGEST_JOINED:
            raise ValueError(f"joined by # it is longer than {LONGEST_JOINED:,} characters")
        position = _skip_space(value, position)
        if position < len(value):
            if value[position] != "#":
                rest = value[position : position + 30].splitlines()[0]
                raise ValueError(f"a comma is missing before “{rest}”")
            position = _skip_space(value, position + 1)
    return "".join(parts)


def _operand(value: str, start: int, macros: dict[str, str], unknown: list[str]) -> tuple[str, int]:
    if value[start] in '{"':
        end = _closing(value, start)
        return value[start + 1 : end], end + 1
    word = _BARE_WORD.match(value, start)
    if word is None:
        raise ValueError(f"“{value[start : start + 30]}” is no value; put it in braces")
    text = macros.get(word[0].lower())
    if text is None and not word[0].isdigit():
        unknown.append(word[0])
    return word[0] if text is None else text, word.end()


def _closing(value: str, start: int) -> int:
    """Where the brace or quote that opens at `start` is closed; braces within count."""
    quoted = value[start] == '"'
    depth = 0
    for mark in (_BRACE_OR_QUOTE if quoted else _BRACE).finditer(value, start + quoted):
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
        if depth == 0 and mark[0] == ('"' if quoted else "}"):
            return mark.start()
    raise ValueError("its braces do not balance")


def _skip_space(value: str, position: int) -> int:
    while position < len(value) and value[position].isspace():
        position += 1
    return position
