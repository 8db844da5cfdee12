"""BibTeX as people, programs and adversaries write it: hypothesis strategies for whole texts."""

import re

from hypothesis import strategies as st

# An independent, simple scan: what begins an entry, at the beginning of a line.
HEAD = re.compile(r"^[ \t]*@(?!(?:string|preamble|comment)\b)\w*[ \t]*[{(]", re.MULTILINE | re.IGNORECASE)

LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='{}\\"@#,=%$~')
WORDS = st.text(LETTERS, min_size=1, max_size=12)
LATEX = st.sampled_from(
    [
        *(
            r"{\'E}l{\`e}ve",
            r"\"{u}",
            r"{\"o}",
            r"{GPU}",
            r"$O(n \log n)$",
            r"\&",
            r"\alpha",
            "--",
            "``a''",
            "~",
        ),
        *(
            r"\url{https://arxiv.org/abs/2401.00001}",
            "a@b.org",
            "{nested {deep {er {and {more}}}}}",
            r"{\{}",
            "%",
        ),
    ]
)
VALUES = st.lists(WORDS | LATEX, min_size=1, max_size=6).map(" ".join)
SPACE = st.sampled_from(["", " ", "  ", "\n", "\n\t", " \n  "])
TYPES = st.sampled_from(["article", "misc", "InProceedings", "ONLINE", "phdthesis", "patent", "x"])
NAMES = [
    "title",
    "author",
    "year",
    "journal",
    "booktitle",
    "doi",
    "eprint",
    "url",
    "month",
    "note",
    "keywords",
]
NAMES += ["Author", "crossref", "date", "file", "bdsk-url-1", "journaltitle", "spectrum-ids"]
BARE = st.sampled_from(["2024", "jan", "joss", "joss # { and } # joss", '"a " # joss # {b}', "undefined"])
SPECIAL = st.sampled_from(
    [
        *(
            '@string{joss = "Journal of Sums"}\n',
            "@STRING(joss = {J})\n",
            "@string{x = }\n",
            "@comment{open\n",
        ),
        *(
            '@preamble{"\\newcommand{\\x}[1]{}"}\n',
            "@comment{jabref-meta: databaseType:bibtex;}\n",
            "% line\n",
        ),
        *("Text between entries.\n", "\n\n", "Written by a program, v1.0\n"),
    ]
)


@st.composite
def delimited(draw):
    value = draw(VALUES)
    quoted = f'"{value}"' if not re.search(r"\\\"|\"", value) else f"{{{value}}}"
    return draw(st.sampled_from([f"{{{value}}}", quoted]) | BARE)


@st.composite
def entries(draw):
    """One well-formed entry, its head at the beginning of a line."""
    opening, closing = draw(st.sampled_from(["{}", "{}", "{}", "()"]))
    names = draw(st.lists(st.sampled_from(NAMES), max_size=6))
    space = draw(SPACE)
    fields = [f"{space}{name}{draw(SPACE)}={draw(SPACE)}{draw(delimited())}" for name in names]
    end = draw(st.sampled_from(["", ",", "\n", ",\n"])) if fields else draw(st.sampled_from(["", ","]))
    key = draw(st.sampled_from(["typed", "Sum:2024", "a_b-c.d/e", "ключ", ""]))
    return f"@{draw(TYPES)}{opening}{key}{',' * bool(fields)}{','.join(fields)}{end}{closing}\n"


@st.composite
def mutated(draw):
    """An entry from whose body signs were taken out, doubled or exchanged; its head stays as it is."""
    text = draw(entries())
    head = re.match(r"@\w+[{(]", text).end()
    signs = list(text[head:-1])
    for _ in range(draw(st.integers(1, 4)) if signs else 0):
        place = draw(st.integers(0, len(signs) - 1))
        signs[place] = draw(st.sampled_from(["", signs[place] * 2, *'{}",=\\#() \n']))
    return text[:head] + "".join(signs) + "\n"


PIECES = ["@", "@article{", "@misc{a,", "\n@", "@string{", "@comment{", "@preamble(", "{", "}", "(", ")", '"']
PIECES += [
    ",",
    "=",
    "#",
    "\\",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\\\n",
    "title = {",
    "author={A and B}",
    "year=2024,",
]
PIECES += [
    "crossref = {a}",
    "a # a",
    "TY  - JOUR",
    "\nER  - \n",
    "\nAU  - ",
    '\n[{"id": "a",',
    '{"title": "',
    "}]",
]
PIECES += [
    "10.5555/a",
    "2401.00001",
    "https://",
    "arxiv.org/abs/",
    "\ufeff",
    "\x85",
    "\u2028",
    "\x0b",
    "\x00"[:0],
]
PIECES += ["\\'", "{\\", "$", "and", " and ", "others", "\\begin{a}", "é", "\u0301", "\U0001f600", "%", "//"]


def valid():
    """A whole text of well-formed entries and what stands between them."""
    return st.lists(entries() | SPECIAL, max_size=8).map("".join)


def damaged():
    """Entries of which some are broken; every head is still at the beginning of its line."""
    return st.lists(entries() | mutated() | SPECIAL, max_size=8).map("".join)


def adversarial():
    """Whatever signs mean something to a reader of BibTeX, RIS or JSON, in any order."""
    return st.lists(st.sampled_from(PIECES) | WORDS, max_size=40).map("".join)


def heads(text):
    """How many entries begin in a text whose heads stand at the beginning of a line."""
    return len(HEAD.findall(text))
