"""One search for the HTML list, the JSON API and every export: the same query string everywhere.

A bad value is a form error that names its field; the list then shows the error instead of guessing.
"""

import re
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django import forms
from django.core.exceptions import ValidationError
from django.core.paginator import EmptyPage, Paginator
from django.db.models import Count, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import Http404, QueryDict

from papers import identity
from papers.models import AXES, Claim, Identifier, Paper, Technique
from reproduce import catalogue
from reproduce.models import Measurement, Run

PAGE_SIZE = 25
FIRST_YEAR, LAST_YEAR = 1900, 2100  # as the database allows them
EVIDENCE = {
    "claims": "has claims",
    "recipe": "has a recipe",
    "measured": "measured on a GPU",
    **{code: label.lower() for code, label in Measurement.Verdict.choices if code != "invalid"},
}
SORTS = {
    "relevance": "Best match",
    "newest": "Newest",
    "measured": "Most measured",
    "title": "Title",
}
FACETS = ("axis", "technique", "year", "evidence")


@dataclass(frozen=True)
class Choice:
    """One line of a facet: how many papers it would leave if it were the only choice of its facet."""

    value: str
    label: str
    count: int
    chosen: bool
    group: str = ""


class YearField(forms.CharField):
    """A year, or a span of years: 2023, 2022..2024, 2022.., ..2016. Cleans to (first, last)."""

    def clean(self, value):
        text = super().clean(value)
        if not text:
            return None, None
        if re.fullmatch(r"\d{4}", text):
            return year(text), year(text)
        if not (found := re.fullmatch(r"(\d{4})?\.\.(\d{4})?", text)) or text == "..":
            raise ValidationError("Give a year as 2023, or a span as 2022..2024.")
        return span(*(year(end) if end else None for end in found.groups()))


class Search(forms.Form):
    """Filters: OR within a field, AND between fields. Leave everything empty for all papers."""

    q = forms.CharField(label="Words", max_length=300, required=False)
    axis = forms.MultipleChoiceField(choices=list(AXES.items()), required=False)
    technique = forms.ModelMultipleChoiceField(Technique.objects.all(), to_field_name="slug", required=False)
    year = YearField(max_length=12, required=False)
    year_from = forms.IntegerField(label="From", min_value=FIRST_YEAR, max_value=LAST_YEAR, required=False)
    year_to = forms.IntegerField(label="To", min_value=FIRST_YEAR, max_value=LAST_YEAR, required=False)
    evidence = forms.MultipleChoiceField(choices=list(EVIDENCE.items()), required=False)
    sort = forms.ChoiceField(choices=list(SORTS.items()), required=False)
    page = forms.IntegerField(min_value=1, max_value=1_000_000, required=False)

    def __init__(self, data=None):
        super().__init__(QueryDict() if data is None else data, auto_id="search-%s")

    def clean(self):
        cleaned = super().clean()
        try:
            span(*self._years(cleaned))
        except ValidationError as error:
            self.add_error("year_to", error)
        return cleaned

    def papers(self, without=()):
        """The matching papers in the chosen order; `without` names facets to leave out.

        An identifier for words is that one paper, whatever else is chosen: as the page leads straight there.
        """
        if (named := self.record()) and named[2]:
            return with_evidence(Paper.objects.filter(pk=named[2].pk))
        return with_evidence(self._filtered(without)).order_by(*self._order())

    def every(self):
        yield from self.papers().in_full().iterator(chunk_size=500)

    def chosen_page(self):
        """One page of the list. Raises Http404, which says how many pages there are."""
        pages = Paginator(self.papers().in_full(), PAGE_SIZE)
        number = self.cleaned_data["page"] or 1
        try:
            return pages.page(number)
        except EmptyPage:
            raise Http404(f"There is no page {number}: this list has {pages.num_pages}.") from None

    def record(self):
        """(scheme, value, paper or None) when the text is an identifier and not words; else None."""
        if not (found := identity.recognise(self.cleaned_data["q"] or "")):
            return None
        return *found, identity.resolve(*found)

    def facets(self):
        """{facet: [Choice]}: each facet is counted without its own filter, and zero is shown too."""
        return {name: getattr(self, f"_{name}_choices")() for name in FACETS}

    def query(self, **changes):
        """The query string of this search, without its page; fields given are changed, None removes one."""
        kept = QueryDict(mutable=True)
        for name in self.fields:
            given = changes[name] if name in changes else self.data.getlist(name)
            values = [str(value) for value in (given if isinstance(given, list) else [given]) if value]
            if values and name != "page":
                kept.setlist(name, values)
        return kept.urlencode()

    @property
    def order(self):
        return self.cleaned_data["sort"] or self.usual_order

    @property
    def usual_order(self):
        """The order that nobody has to ask for, and that the address leaves out."""
        return "relevance" if self.cleaned_data["q"] else "newest"

    @property
    def filtered(self):
        """Whether anything narrows the list."""
        chosen = self.cleaned_data | {"year": self.cleaned_data["year"] != (None, None)}
        return any(value for name, value in chosen.items() if name not in ("sort", "page"))

    def _filtered(self, without=()):
        chosen = {name: value for name, value in self.cleaned_data.items() if name not in without and value}
        papers = Paper.objects.all()
        if "q" in chosen:
            papers = papers.matching(chosen["q"])
        if "axis" in chosen:
            papers = papers.on_axes(chosen["axis"])
        if "technique" in chosen:
            papers = papers.using([technique.slug for technique in chosen["technique"]])
        if "year" not in without:
            papers = papers.between(*self._years(self.cleaned_data))
        if "evidence" in chosen:
            papers = papers.filter(any_of(evidence(name) for name in chosen["evidence"]))
        return papers

    def _years(self, cleaned):
        first, last = cleaned.get("year") or (None, None)
        firsts = [year for year in (first, cleaned.get("year_from")) if year]
        lasts = [year for year in (last, cleaned.get("year_to")) if year]
        return max(firsts, default=None), min(lasts, default=None)

    def _order(self):
        newest = Paper.objects.newest().query.order_by
        return {
            "relevance": ("-rank", *newest) if self.cleaned_data["q"] else newest,
            "newest": newest,
            "measured": ("-measured", "-claimed", *newest),
            "title": ("title", "key"),
        }[self.order]

    def _counts(self, facet, column):
        rows = self._filtered([facet]).order_by().values_list(column)
        return dict(rows.annotate(Count("pk", distinct=True)))

    def _axis_choices(self):
        counts, chosen = self._counts("axis", "techniques__axis"), self.cleaned_data["axis"]
        return [Choice(slug, name, counts.get(slug, 0), slug in chosen) for slug, name in AXES.items()]

    def _technique_choices(self):
        counts = self._counts("technique", "techniques__slug")
        chosen = {technique.slug for technique in self.cleaned_data["technique"]}
        return [
            Choice(each.slug, each.name, counts.get(each.slug, 0), each.slug in chosen, AXES[each.axis])
            for each in Technique.objects.all()
        ]

    def _year_choices(self):
        first, last = self._years(self.cleaned_data)
        narrowed = (first, last) != (None, None)
        return [
            Choice(str(year), str(year), count, narrowed and (first or 0) <= year <= (last or 9999))
            for year, count in sorted(self._counts("year", "year").items())
        ]

    def _evidence_choices(self):
        papers = self._filtered(["evidence"])
        counts = papers.order_by().aggregate(
            **{f"n_{name}": Count("pk", filter=evidence(name), distinct=True) for name in EVIDENCE}
        )
        chosen = self.cleaned_data["evidence"]
        return [Choice(name, label, counts[f"n_{name}"], name in chosen) for name, label in EVIDENCE.items()]


def year(text):
    if not FIRST_YEAR <= int(text) <= LAST_YEAR:
        raise ValidationError(f"{text} is not a year between {FIRST_YEAR} and {LAST_YEAR}.")
    return int(text)


def span(first, last):
    """(first, last) if that is a possible span of years. Raises ValidationError."""
    if first and last and first > last:
        raise ValidationError(f"The span {first} to {last} is empty: put the earlier year first.")
    return first, last


def scored():
    """Measurements that count: of finished runs of the full preset, measured by us."""
    done = Measurement.objects.filter(run__status="done", run__preset="full")
    return done.exclude(run__origin=Run.Origin.CONTRIBUTED)


def any_of(conditions):
    return reduce(or_, conditions, Q(pk__in=[]))


def evidence(name):
    """The condition on papers behind one choice of the evidence facet: in a set that is gathered once."""
    if name == "claims":
        return Q(pk__in=Claim.objects.order_by().values("paper"))
    if name == "recipe":
        return with_recipe()
    measured = scored() if name == "measured" else scored().filter(verdict=name)
    return Q(pk__in=measured.order_by().values("run__paper"))


def with_recipe():
    names = [catalogue.name_of_paper(recipe) for recipe in catalogue.recipes()]
    keys = [value for scheme, value in names if scheme == catalogue.KEY]
    identified = any_of(Q(scheme=scheme, value=value) for scheme, value in names if scheme != catalogue.KEY)
    found = Q(pk__in=Identifier.objects.filter(identified).order_by().values("paper"))
    return found | Q(key__in=keys) if keys else found


def counted(rows, column):
    """A count by subquery, so that two counts on one row can't multiply each other."""
    numbers = rows.order_by().values(column).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(numbers), Value(0))


def with_evidence(papers):
    """Each paper gets `claimed` and `measured` (counts) and `headline` (the latest headline's verdict)."""
    measured = scored().filter(run__paper=OuterRef("pk"))
    newest = measured.filter(headline=True).order_by("-run__finished", "-pk")
    return papers.annotate(
        claimed=counted(Claim.objects.filter(paper=OuterRef("pk")), "paper"),
        measured=counted(measured, "run__paper"),
        headline=Subquery(newest.values("verdict")[:1]),
        headline_recipe=Subquery(newest.values("run__recipe")[:1]),
    )
