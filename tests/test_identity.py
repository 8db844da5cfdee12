"""One paper, all its names: every spelling of an identifier, and title with first author and year."""

import pytest

from papers import identity
from tests.making import make_facts, make_paper


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("2205.00001", ("arxiv", "2205.00001")),
        ("arXiv:2205.00001v12", ("arxiv", "2205.00001")),
        ("https://arxiv.org/abs/2205.00001v2", ("arxiv", "2205.00001")),
        ("http://www.arxiv.org/pdf/2205.00001v2.pdf", ("arxiv", "2205.00001")),
        ("https://export.arxiv.org/abs/2205.00001?context=cs", ("arxiv", "2205.00001")),
        ("https://huggingface.co/papers/2205.00001", ("arxiv", "2205.00001")),
        ("cs/0601001", ("arxiv", "cs/0601001")),
        ("arXiv:cs.AI/0601001v1", ("arxiv", "cs/0601001")),
        ("https://arxiv.org/abs/math-ph/0601001", ("arxiv", "math-ph/0601001")),
        ("10.48550/arXiv.2205.00001", ("arxiv", "2205.00001")),
        ("https://doi.org/10.48550/arXiv.2205.00001", ("arxiv", "2205.00001")),
        ("10.5555/ABC.def", ("doi", "10.5555/abc.def")),
        ("doi: 10.5555/ABC.def.", ("doi", "10.5555/abc.def")),
        ("https://dx.doi.org/10.5555/abc%2Fdef", ("doi", "10.5555/abc/def")),
        ("https://openreview.net/forum?id=abcDEF_12-3", ("openreview", "abcDEF_12-3")),
        ("https://openreview.net/pdf?id=abcDEF123&name=x", ("openreview", "abcDEF123")),
        ("openreview:abcDEF123", ("openreview", "abcDEF123")),
        ("https://aclanthology.org/2020.acl-main.7.pdf", ("acl", "2020.acl-main.7")),
        ("https://www.aclweb.org/anthology/n19-1423/", ("acl", "N19-1423")),
        ("  2205.00001\n", ("arxiv", "2205.00001")),
        ("arxiv.org/pdf/2205.00001v2.pdf", ("arxiv", "2205.00001")),
        ("https://arxiv.org/html/2205.00001v1/#S3", ("arxiv", "2205.00001")),
        ("https://ar5iv.labs.arxiv.org/html/hep-th/9901001", ("arxiv", "hep-th/9901001")),
        ("arXiv preprint arXiv:2205.00001", ("arxiv", "2205.00001")),
        ("arXiv:2205.00001v2 [cs.CL]", ("arxiv", "2205.00001")),
        ("<https://doi.org/10.5555/ABC?utm_source=mail>", ("doi", "10.5555/abc")),
        ("doi.org/10.5555/abc", ("doi", "10.5555/abc")),
        ("DOI 10.1016/S0893-6080(05)80010-3;", ("doi", "10.1016/s0893-6080(05)80010-3")),
        ("urn:doi:10.5555/abc", ("doi", "10.5555/abc")),
        ("https://openreview.net/attachment?id=abcDEF123&name=pdf", ("openreview", "abcDEF123")),
        ("https://aclanthology.org/2020.acl-main.7v2.pdf", ("acl", "2020.acl-main.7")),
        ("https://aclanthology.org/2020.acl-main.7.bib", ("acl", "2020.acl-main.7")),
        ("https://www.aclweb.org/anthology/papers/N/N19/N19-1423/", ("acl", "N19-1423")),
        ("http://aclanthology.info/papers/N19-1423/n19-1423", ("acl", "N19-1423")),
        ("2023.findings-emnlp.123", ("acl", "2023.findings-emnlp.123")),
    ],
)
def test_recognised_in_any_form(typed, name):
    assert identity.recognise(typed) == name


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "",
            "attention",
            "2213.00001",
            "2205.001",
            "1/2",
            "10.5555/",
            "doi:",
            "https://example.org/10.5555/abc",
        ),
        *(
            "https://arxiv.org/list/cs.CL/recent",
            "https://openreview.net/",
            "arxiv:",
            "2205.00001 and more",
            "x" * 9999,
        ),
    ],
)
def test_not_recognised(typed):
    assert identity.recognise(typed) is None


@pytest.mark.parametrize(
    ("scheme", "value"),
    [
        ("arxiv", "10.5555/abc"),
        ("acl", "x"),
        ("isbn", "1"),
        ("doi", "a" * 999),
        ("doi", "10.1234/a\0b"),
        ("doi", f"10.1234/{'İ' * 480}"),  # longer in small letters than what fits
    ],
)
def test_normalising_what_is_none_says_so(scheme, value):
    with pytest.raises(ValueError, match=r"is not .+\.$"):
        identity.normalise(scheme, value)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (("arxiv", "2205.00001"), ("arxiv", "2205.00001v3")),
        (("arxiv", "2205.00001"), ("doi", "10.48550/arXiv.2205.00001")),
        (("doi", "10.18653/v1/2020.acl-main.7"), ("acl", "2020.acl-main.7")),
        (("acl", "N19-1423"), ("doi", "10.18653/v1/N19-1423")),
        (("acl", "D14-1162"), ("doi", "10.3115/v1/D14-1162")),
        (("doi", "10.3115/v1/d14-1162"), ("acl", "D14-1162")),
        (("openreview", "abcDEF123"), ("openreview", "abcDEF123")),
    ],
)
def test_each_name_leads_to_the_one_paper(stored, asked):
    make_paper()
    paper = make_paper(identifiers=[stored])
    assert identity.resolve(*asked) == paper


@pytest.mark.django_db
@pytest.mark.parametrize(("scheme", "value"), [("arxiv", "2205.00002"), ("arxiv", "rubbish"), ("isbn", "1")])
def test_unknown_names_lead_nowhere(scheme, value):
    make_paper(identifiers=[("arxiv", "2205.00001")])
    assert identity.resolve(scheme, value) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"title": "Other", "identifiers": [["arxiv", "2205.00001"]]}, "same arXiv id, 2205.00001"),
        ({"title": "ADDING up — less!"}, "same title and first author"),
        ({"title": "Adding Up Less", "year": 2025}, "same title and first author, a year apart"),
        (
            {"title": "Adding up less", "authors": "van Invented, I. and Made, M."},
            "same title and first author",
        ),
        ({"title": "Adding up less", "identifiers": [["doi", "10.5555/x"]]}, "same title and first author"),
    ],
)
def test_the_same_paper(over, why):
    paper = make_paper(title="Adding Up Less", year=2024, identifiers=[("arxiv", "2205.00001")])
    assert identity.match(make_facts(**over)) == identity.Match(paper, why)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "over",
    [
        {"title": "Adding Up Less 2"},
        {"authors": "Other, Ida"},
        {"year": 2026},
        {"identifiers": [["arxiv", "2205.99999"]]},
    ],
)
def test_another_paper(over):
    make_paper(title="Adding Up Less", year=2024, identifiers=[("arxiv", "2205.00001")])
    assert identity.match(make_facts(**over)) is None


@pytest.mark.django_db
def test_matching_many_asks_as_often_as_matching_one(django_assert_num_queries):
    for number in range(5):
        make_paper(title=f"Title {number}", identifiers=[("arxiv", f"2205.0000{number}")])
    for count in (1, 5):
        with django_assert_num_queries(3):  # the papers, their identifiers, their techniques
            matches = identity.match_all([make_facts(title=f"Title {number}") for number in range(count)])
        assert [match.paper.title for match in matches] == [f"Title {number}" for number in range(count)]


@pytest.mark.parametrize(
    ("over", "taken", "key"),
    [
        ({}, set(), "invented2024adding"),
        ({}, {"invented2024adding"}, "invented2024addingup"),
        (
            {},
            {"invented2024adding", "invented2024addingup", "invented2024addingupless"},
            "invented2024addingupless2",
        ),
        ({"title": "On the Größe of a Sum"}, set(), "invented2024grosse"),
        ({"title": "Memory-Efficient Sums"}, set(), "invented2024memoryefficient"),
        ({"title": "The"}, set(), "invented2024the"),
        ({"title": "中文"}, set(), "invented2024paper"),
        ({"authors": "Łuk-Ñandú, J."}, set(), "luknandu2024adding"),
        ({"authors": "van der Sum, J."}, set(), "vandersum2024adding"),
        ({"authors": ""}, set(), "anon2024adding"),
        ({"key": "invented2024less"}, set(), "invented2024less"),
        ({"key": "invented2024less"}, {"invented2024less"}, "invented2024adding"),
        ({"key": "admin"}, set(), "invented2024adding"),
        ({"title": "x" * 300}, set(), "invented2024" + "x" * 62),
    ],
)
def test_keys(over, taken, key):
    assert identity.make_key(make_facts(**over), taken) == key
