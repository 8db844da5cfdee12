"""The names papers go by: arXiv ids, DOIs, OpenReview and ACL ids, addresses; read in any form, kept in one.

arXiv ids lose their version, an arXiv DOI is that arXiv id, and an ACL id and its DOI name the same paper.
"""

import re
from collections.abc import Callable

Name = tuple[str, str]  # scheme, value

LONGEST = 500
_ARXIV = re.compile(
    r"(?:arxiv\s+preprint\s+)?(?:arxiv[:.\s]\s*|abs/)?"
    r"(?:([a-z-]+)(?:\.[a-z]{2})?/(\d{2}(?:0[1-9]|1[0-2])\d{3})|(\d{2}(?:0[1-9]|1[0-2])\.\d{4,5}))"
    r"(?:v\d+)?(?:\.pdf)?(?:\s*\[[a-z.-]+\])?",
    re.IGNORECASE,
)
_DOI = re.compile(r'(?:(?:urn:|info:)?doi[:/\s]\s*)?(10\.\d{4,9}/[^\s"{}\\^|`]+)', re.IGNORECASE)
_ARXIV_DOI = "10.48550/arxiv."
_ACL_DOIS = "10.18653/v1/", "10.3115/v1/"  # since 2015, and before
_ACL = re.compile(r"[a-z]\d{2}-\d{4}|\d{4}\.[a-z0-9_]+(?:-[a-z0-9_]+)*\.\d+", re.IGNORECASE)
_OF_ACL = re.compile(r"(?:v\d+)?(?:\.(?:pdf|bib|xml|endf))?", re.IGNORECASE)  # a version, a file
_KNOWN_HOST = re.compile(
    r"(?:www\.|export\.)?(?:arxiv\.org|(?:dx\.)?doi\.org|openreview\.net|aclanthology\.org)/", re.IGNORECASE
)
_OPENREVIEW = re.compile(r"[\w-]{6,20}", re.ASCII)
_URL = re.compile(r"https?://(?:www\.)?([^\s/?#]+)([^\s#]*)", re.IGNORECASE)
# Addresses whose tail is an identifier: host, path, scheme.
_SITES = (
    (
        r"(?:[a-z0-9.]*\.)?arxiv\.org|ar5iv\.org|alphaxiv\.org",
        r"/(?:abs|pdf|html|format|e-print|ps|src|overview)/",
        "arxiv",
    ),
    (r"huggingface\.co", r"/papers/", "arxiv"),
    (r"(?:dx\.)?doi\.org", r"/", "doi"),
    (r"(?:api2?\.)?openreview\.net", r"/(?:forum|pdf|attachment)\?(?:.*&)?id=", "openreview"),
    (
        r"aclanthology\.(?:org|info)|aclweb\.org",
        r"/(?:anthology/)?(?:papers/)?(?:[A-Z]/[A-Z]\d\d/)?(?=[^/]+/?)",
        "acl",
    ),
)
# Publishers put the DOI into the address: dl.acm.org/doi/abs/10.1145/1, link.springer.com/chapter/10.1007/2
_DOI_IN_PATH = re.compile(
    r"/(?:doi(?:/\w+)?|articles?|chapter|book|content(?:/pdf)?)/"
    r"(10\.\d{4,9}/[^?&]+?)(?:\.pdf|/(?:full|pdf|abstract|html))?/?(?:\?.*)?"
)


def normalise(scheme: str, value: str) -> str:
    """The one spelling of an identifier. Raises ValueError with a sentence when it is none of that scheme."""
    reader = _READERS.get(scheme)
    if reader is None:
        raise ValueError(f'"{scheme}" is not one of the schemes {", ".join(_READERS)}.')
    found = reader(value.strip()) if len(value) <= LONGEST and "\0" not in value else None
    if not found or len(found) > LONGEST:  # small letters can take more room
        raise ValueError(f'"{value[:60]}" is not {_DESCRIPTIONS[scheme]}.')
    return found


def canonical(scheme: str, value: str) -> Name:
    """Scheme and value as stored: an arXiv DOI becomes its arXiv id. Raises ValueError like normalise()."""
    value = normalise(scheme, value)
    if scheme == "doi" and value.startswith(_ARXIV_DOI):
        return "arxiv", normalise("arxiv", value.removeprefix(_ARXIV_DOI))
    return scheme, value


def recognise(text: str) -> Name | None:
    """The identifier that a pasted id or address stands for, or None."""
    text = re.sub(r"^<(.*)>$", r"\1", text.strip())  # as in a mail; a DOI itself may end in >
    if len(text) > LONGEST:
        return None
    if url := _URL.fullmatch(_as_address(text)):
        return _in_address(url[1].lower(), url[2])
    scheme, colon, value = text.partition(":")
    attempts = [(scheme.lower(), value)] if colon and scheme.lower() in _READERS else []
    for attempt in (*attempts, ("arxiv", text), ("doi", text), ("acl", text)):
        try:
            return canonical(*attempt)
        except ValueError:
            continue
    return None


def _as_address(text: str) -> str:
    """Without a place within the page; with a scheme where a known host was typed without one."""
    return (f"https://{text}" if _KNOWN_HOST.match(text) else text).split("#")[0]


def _in_address(host: str, path: str) -> Name | None:
    for site, prefix, scheme in _SITES:
        if re.fullmatch(site, host) and (start := re.match(prefix, path)):
            rest = path[start.end() :]
            rest = re.split(r"\?" if scheme == "doi" else r"[&?]", rest)[0].rstrip("/")
            rest = {"acl": rest.partition("/")[0], "doi": rest}.get(scheme, rest.removesuffix(".pdf"))
            try:
                return canonical(scheme, rest)
            except ValueError:
                return None
    doi = _DOI_IN_PATH.fullmatch(path)
    return canonical("doi", doi[1]) if doi and _DOI.fullmatch(doi[1]) else None


def link(scheme: str, value: str) -> str:
    """The address of a stored identifier."""
    return {
        "arxiv": f"https://arxiv.org/abs/{value}",
        "doi": f"https://doi.org/{value}",
        "openreview": f"https://openreview.net/forum?id={value}",
        "acl": f"https://aclanthology.org/{value}",
    }.get(scheme, value)


def equivalents(scheme: str, value: str) -> list[Name]:
    """A stored identifier and the other names that always mean the same paper."""
    if scheme == "acl":
        return [(scheme, value), *(("doi", prefix + value.lower()) for prefix in _ACL_DOIS)]
    if scheme == "doi" and value.startswith(_ACL_DOIS):
        try:
            acl = normalise("acl", value.partition("/v1/")[2])
            return [(scheme, value), *(name for name in equivalents("acl", acl) if name[1] != value)]
        except ValueError:
            pass
    return [(scheme, value)]


def _read_arxiv(text: str) -> str | None:
    found = _ARXIV.fullmatch(text)
    return found and (found[3] or f"{found[1].lower()}/{found[2]}")


def _read_doi(text: str) -> str | None:
    if url := _URL.fullmatch(text):
        text = url[2].lstrip("/") if url[1].lower() in {"doi.org", "dx.doi.org"} else ""
    found = _DOI.fullmatch(text.replace("%2F", "/").replace("%2f", "/"))
    return found and found[1].rstrip(".,;").lower()


def _read_acl(text: str) -> str | None:
    found = _ACL.match(text)
    if not found or not _OF_ACL.fullmatch(text, found.end()):
        return None
    return found[0].upper() if text[0].isalpha() else found[0].lower()


def _read_openreview(text: str) -> str | None:
    return text if _OPENREVIEW.fullmatch(text) else None


def _read_url(text: str) -> str | None:
    """Host and path: neither scheme, www, fragment nor a last slash makes another address."""
    found = _URL.fullmatch(text.split("#")[0])
    return found and f"https://{found[1].lower()}{found[2]}".rstrip("/")


_READERS: dict[str, Callable[[str], str | None]] = {
    "arxiv": _read_arxiv,
    "doi": _read_doi,
    "openreview": _read_openreview,
    "acl": _read_acl,
    "url": _read_url,
}
LABELS = {"arxiv": "arXiv id", "doi": "DOI", "openreview": "OpenReview id", "acl": "ACL id", "url": "address"}
_DESCRIPTIONS = {
    "arxiv": "an arXiv id such as 2205.14135",
    "doi": "a DOI such as 10.1000/182",
    "openreview": "an OpenReview id such as H4DqfPSibmx",
    "acl": "an ACL Anthology id such as 2020.acl-main.1",
    "url": "a web address",
}
