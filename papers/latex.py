"""LaTeX in bibliographies: to plain Unicode text and back, in one pass and without recursion.

`plain(escape(text)) == text` for every text with single spaces and composed accents.
"""

import re
import unicodedata
from itertools import zip_longest

from pylatexenc.latex2text import get_default_latex_context_db

_ACCENTS = {
    "`": "\u0300",
    "'": "\u0301",
    "^": "\u0302",
    "~": "\u0303",
    "=": "\u0304",
    "u": "\u0306",
    ".": "\u0307",
    '"': "\u0308",
    "r": "\u030a",
    "H": "\u030b",
    "v": "\u030c",
    "d": "\u0323",
    "c": "\u0327",
    "k": "\u0328",
    "b": "\u0331",
}
_ACCENT_OF = {combining: command for command, combining in _ACCENTS.items()}
_LETTERS = {
    "ß": "ss",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
    "Œ": "OE",
    "å": "aa",
    "Å": "AA",
    "ı": "i",
    "ȷ": "j",
    "đ": "dj",
    "Đ": "DJ",
}
_SPECIALS = {
    "\\": r"\textbackslash{}",
    "{": r"\textbraceleft{}",  # BibTeX itself counts \{ as a brace
    "}": r"\textbraceright{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "—": "---",
    "“": "``",
    "”": "''",
    **{character: f"\\{character}" for character in "$&#%_"},
}
_SYMBOLS = {
    **{command: letter for letter, command in _LETTERS.items()},
    **{latex[1:-2]: character for character, latex in _SPECIALS.items() if latex.startswith("\\text")},
    **{name: name for name in ("LaTeX", "TeX", "BibTeX")},
    **{name: name for name in ("log", "exp", "min", "max", "sin", "cos", "tanh", "argmax", "argmin")},
}
_FONTS = frozenset(
    "rm it bf sc tt em sf sl cal textrm textit textbf textsc texttt textsf textsl textup textmd emph "  # noqa: SIM905
    "mathrm mathit mathbf mathsf mathtt mathcal mathbb mathfrak mathscr boldsymbol bm ensuremath text mbox "
    "url href path protect relax left right displaystyle bfseries itshape scshape upshape ttfamily "
    "small large Large normalfont textnormal uppercase lowercase MakeUppercase underline operatorname".split()
)
_PUNCTUATION = {"\\": " ", " ": " ", ",": " ", ";": " ", ":": " "} | dict.fromkeys("-/!()", "")
_LIGATURES = {"---": "—", "--": "–", "``": "“", "''": "”"}
_TOKEN = re.compile(r"\\([A-Za-z]+)[ \t\n]*(\{)?|\\(.)|(---|--|``|'')|([^\\{}$~`'-]+)|(.)", re.DOTALL)
_PLAIN = re.compile(r"[^\\{}$~`'-]*")
_HARMLESS = re.compile(r"(?:[A-Za-z0-9 .,:;/()+*=!?@<>|\[\]]|-(?!-))*")  # most text, as it stands
_MACROS = get_default_latex_context_db()


def plain(latex: str) -> str:
    """Plain text of a BibTeX value. Braces and math signs go; an unknown command leaves its argument."""
    if _PLAIN.fullmatch(latex):
        return squeeze(latex)
    literal_dollar = len(re.findall(r"(?<!\\)\$", latex)) % 2 == 1
    out: list[str] = []
    accent = ""
    for command, argument, escaped, ligature, text, single in _TOKEN.findall(latex):
        if (name := command or escaped) in _ACCENTS:
            accent = name
            continue
        if accent and single == "{":
            continue
        piece = text or _piece(command, argument, escaped, ligature, single, literal_dollar)
        if accent:
            piece = _accented(accent, piece.lstrip())
            accent = ""
        out.append(piece)
    return squeeze("".join(out))


def _piece(
    command: str, argument: str, escaped: str, ligature: str, single: str, literal_dollar: bool
) -> str:
    if command:
        return _symbol(command, argument)
    if escaped:
        return _PUNCTUATION.get(escaped, escaped)
    if ligature:
        return _LIGATURES[ligature]
    if single == "$":
        return "$" if literal_dollar else ""
    return {"{": "", "}": "", "~": " "}.get(single, single)


def _symbol(command: str, argument: str) -> str:
    """What a command prints by itself: \\alpha gives α; \\textbf gives nothing, its argument follows."""
    if command in _SYMBOLS:
        return _SYMBOLS[command]
    if command in _FONTS:
        return ""
    replacement = getattr(_MACROS.get_macro_spec(command), "simplify_repl", None)
    if isinstance(replacement, str) and "%" not in replacement:
        return replacement
    return "" if argument else command


def _accented(command: str, base: str) -> str:
    """\\'e, \\'{e} and \\'\\i give one composed letter; an accent over nothing is the sign itself."""
    base = {"ı": "i", "ȷ": "j"}.get(base, base)
    if not base or not base[0].isalpha():
        return (command if command in "^~'\"`=." else "") + base
    return unicodedata.normalize("NFC", base[0] + _ACCENTS[command]) + base[1:]


def escape(text: str) -> str:
    """A value for between braces. Accents become commands; letters without one stay UTF-8."""
    if _HARMLESS.fullmatch(text):
        return text
    return "".join(
        _escaped(character) + ("{}" if following and _would_join(character, following) else "")
        for character, following in zip_longest(text, text[1:])
    )


def _would_join(character: str, following: str) -> bool:
    """Two hyphens or quotes that stand apart must not be read as a dash or a double quote."""
    return any(character in signs and following in signs for signs in ("-–—", "`“", "'”"))


def _escaped(character: str) -> str:
    if character.isascii():
        return _SPECIALS.get(character, character)
    if character in _LETTERS:
        return f"{{\\{_LETTERS[character]}}}"
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[1] in _ACCENT_OF and parts[0].isascii() and parts[0].isalpha():
        command = _ACCENT_OF[parts[1]]
        base = {"i": "\\i", "j": "\\j"}.get(parts[0], parts[0])
        return f"{{\\{command}{{{base}}}}}" if command.isalpha() else f"{{\\{command}{base}}}"
    return _SPECIALS.get(character, character)


def protected(title: str) -> str:
    """An escaped title in which words with inner capitals are braced, so that no style lowers them."""
    words = [(escape(word), any(c.isupper() for c in word[1:])) for word in title.split(" ")]
    return " ".join(f"{{{word}}}" if capitals else word for word, capitals in words)


def squeeze(text: str) -> str:
    """White space and control characters become single spaces; accents are composed."""
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in text)
    return unicodedata.normalize("NFC", " ".join(text.split()))
