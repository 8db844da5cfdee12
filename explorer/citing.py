"""What reference managers read from our pages: citation_* tags on a paper, COinS on a list."""

from urllib.parse import urlencode


def citation_tags(paper, address):
    """(name, content) of each <meta> that Zotero, Mendeley and Google Scholar look for."""
    names = identifiers(paper)
    tags = [("citation_title", paper.title)]
    tags += [("citation_author", author) for author in paper.author_list]
    tags += [("citation_publication_date", date(paper)), ("citation_public_url", address)]
    if paper.venue and paper.venue != "arXiv":
        tags.append(("citation_conference_title", paper.venue))
    if "doi" in names:
        tags.append(("citation_doi", names["doi"]))
    if "arxiv" in names:
        tags.append(("citation_arxiv_id", names["arxiv"]))
        tags.append(("citation_pdf_url", f"https://arxiv.org/pdf/{names['arxiv']}"))
    return tags


def coins(paper):
    """The title attribute of a COinS span: one OpenURL context object."""
    names = identifiers(paper)
    parts = [
        ("ctx_ver", "Z39.88-2004"),
        ("rft_val_fmt", "info:ofi/fmt:kev:mtx:journal"),
        ("rft.genre", "article"),
        ("rft.atitle", paper.title),
        ("rft.jtitle", paper.venue),
        ("rft.date", date(paper).replace("/", "-")),
        *(("rft.au", author) for author in paper.author_list),
    ]
    if "doi" in names:
        parts.append(("rft_id", f"info:doi/{names['doi']}"))
    if "arxiv" in names:
        parts.append(("rft_id", f"https://arxiv.org/abs/{names['arxiv']}"))
    return urlencode([(name, value) for name, value in parts if value])


def identifiers(paper):
    """{scheme: value}, the first of each."""
    return {name.scheme: name.value for name in reversed(paper.identifiers.all())}


def date(paper):
    return f"{paper.year}/{paper.month:02}" if paper.month else str(paper.year)
