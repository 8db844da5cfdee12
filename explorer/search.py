"""One search for the HTML list, the JSON API and every export: the same query string everywhere.

A bad value is a form error that names its field; the list then shows the error instead of guessing.
"""

from dataclasses import replace
from functools import cached_property, partial, reduce
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.core.paginator import EmptyPage, Paginator
from django.http import Http404, QueryDict
from pyroaring import BitMap

from explorer import evaluation, facets, freshness, ordering, words
from explorer.documents import NUMBERS
from explorer.facets import EVIDENCE, FACETS
from explorer.fields import FIRST_YEAR, LAST_YEAR, NumbersField, TagsField, YearsField, span
from explorer.listing import Listing
from explorer.rows import rows
from explorer.snapshot import EMPTY
from papers import identity
from papers.models import AXES

PAGE_SIZE = 25
SORTS = {
    "relevance": "Best match",
    "newest": "Newest",
    "measured": "Most measured",
    "gain": "Largest measured gain",
}


class Search(forms.Form):
    """Filters: OR within a field, AND between fields. Leave everything empty for all papers."""

    q = forms.CharField(label="Words", max_length=300, required=False)
    axis = forms.MultipleChoiceField(choices=list(AXES.items()), required=False)
    technique = TagsField(label="Techniques by their slugs")
    year = YearsField(label="A year, or a span as 2022..2024", max_length=12, required=False)
    year_from = forms.IntegerField(label="From", min_value=FIRST_YEAR, max_value=LAST_YEAR, required=False)
    year_to = forms.IntegerField(label="To", min_value=FIRST_YEAR, max_value=LAST_YEAR, required=False)
    venue = TagsField(label="Venues, as they are written here")
    code = forms.ChoiceField(choices=[("yes", "has code")], required=False)
    evidence = forms.MultipleChoiceField(choices=list(EVIDENCE.items()), required=False)
    hardware = TagsField(label="What it was measured on")
    speedup = NumbersField(label="Measured speed-up, as 2.. or 1.5..3", max_length=30, required=False)
    memory = NumbersField(label="Measured memory ratio", max_length=30, required=False)
    bits = NumbersField(label="Measured bits per weight", max_length=30, required=False)
    trainable = NumbersField(label="Measured trainable share", max_length=30, required=False)
    sort = forms.ChoiceField(choices=list(SORTS.items()), required=False)
    page = forms.IntegerField(min_value=1, max_value=1_000_000, required=False)

    def __init__(self, data=None):
        super().__init__(QueryDict() if data is None else data, auto_id="search-%s")

    def clean_q(self):
        """The words as they were typed; what they mean is kept as `alternatives`."""
        try:
            read = words.read(self.cleaned_data["q"])
        except words.UnreadableError as error:
            raise ValidationError(str(error)) from None
        self.alternatives = [[self._meant(term) for term in terms] for terms in read]
        return self.cleaned_data["q"]

    def clean_technique(self):
        return self._known(
            "technique", {each.slug for each in facets.techniques(self.index.version)}, "see /techniques"
        )

    def clean_venue(self):
        return self._known("venue", self.index.values_of("venue"), 'write for example "ICLR"')

    def clean_hardware(self):
        return self._known("hardware", self.index.values_of("hardware"), "see /workers and /runs")

    def clean(self):
        cleaned = super().clean()
        try:
            span(*self._years(cleaned))
        except ValidationError as error:
            self.add_error("year_to", error)
        return cleaned

    @cached_property
    def index(self):
        """All papers as this request may see them."""
        return freshness.current()

    @cached_property
    def found(self):
        """The ids of all matching papers.

        An identifier for words is that one paper, whatever else is chosen: as the page leads straight there.
        """
        if (named := self.record()) and named[2]:
            return BitMap([named[2].pk])
        return self._without(None)

    def papers(self):
        """The matching papers in the chosen order: its length, slices of it, or all of it in chunks."""
        return Listing(len(self.found), self._ids)

    def rows(self):
        """The same as lines of HTML."""
        return Listing(len(self.found), self._ids, partial(rows, self.index))

    def every(self):
        """All matching papers in the chosen order, read in chunks."""
        return iter(self.papers())

    def chosen_page(self):
        """One page of the list, as rows. Raises Http404, which says how many pages there are."""
        pages = Paginator(self.rows(), PAGE_SIZE)
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
        return {
            name: facets.choices(self.index, name, self._without(name), self._values(name)) for name in FACETS
        }

    def query(self, **changes):
        """The query string of this search, without its page; fields given are changed, None removes one."""
        if not changes:
            return self._query
        kept = dict(self._asked)
        for name, given in changes.items():
            kept[name] = [str(value) for value in (given if isinstance(given, list) else [given]) if value]
        return self._encoded(kept)

    @cached_property
    def _query(self):
        return self._encoded(self._asked)

    def _encoded(self, asked):
        return urlencode([(name, value) for name in self.fields for value in asked.get(name, ())])

    @cached_property
    def _asked(self):
        asked = ((name, [value for value in self.data.getlist(name) if value]) for name in self.fields)
        return {name: values for name, values in asked if values and name != "page"}

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
        return any(self._chosen(name) for name in self.fields if name not in ("sort", "page"))

    def _chosen(self, name):
        value = self.cleaned_data[name]
        return None if value in ((None, None), [], "") else value

    def _meant(self, term):
        """The term with what its tag stands for. Raises ValidationError."""
        if term.field == "year":
            return replace(term, values=YearsField().clean(term.text))
        if term.field in ("axis", "technique", "venue"):
            known = self._tags(term.field)
            if term.text.casefold() not in known:
                raise ValidationError(f'No {term.field} here is called "{term.text[:80]}".')
            return replace(term, values=(known[term.text.casefold()],))
        return term

    def _tags(self, name):
        if name == "venue":
            return {venue.casefold(): venue for venue in self.index.values_of("venue")}
        called = (
            AXES.items()
            if name == "axis"
            else [(each.slug, each.name) for each in facets.techniques(self.index.version)]
        )
        return {label.casefold(): slug for slug, label in called} | {slug: slug for slug, _ in called}

    def _known(self, name, known, remedy):
        known = set(known)
        if unknown := [value for value in self.cleaned_data[name] if value not in known]:
            raise ValidationError(f'No {name} here is called "{unknown[0][:80]}"; {remedy}.')
        return self.cleaned_data[name]

    def _years(self, cleaned):
        first, last = cleaned.get("year") or (None, None)
        firsts = [year for year in (first, cleaned.get("year_from")) if year]
        lasts = [year for year in (last, cleaned.get("year_to")) if year]
        return max(firsts, default=None), min(lasts, default=None)

    def _values(self, name):
        """What is chosen of a facet; of years, those within the span."""
        if name != "year":
            return set(self.cleaned_data[name] or ())
        first, last = self._years(self.cleaned_data)
        if (first, last) == (None, None):
            return set()
        return {year for year in self.index.months if (first or 0) <= int(year) <= (last or LAST_YEAR)}

    @cached_property
    def _filters(self):
        """{facet: the papers that its choices leave}, for what is chosen only."""
        found = {}
        if self.cleaned_data["q"]:
            found["q"] = evaluation.matching(self.index, self.alternatives)
        for name in ("axis", "technique", "venue", "hardware", "evidence"):
            if chosen := self._chosen(name):
                found[name] = BitMap.union(
                    EMPTY, *(facets.having(self.index, name, value) for value in chosen)
                )
        if self._chosen("code"):
            found["code"] = self.index.facet("code", "yes")
        if (years := self._years(self.cleaned_data)) != (None, None):
            found["year"] = evaluation.years(self.index, *years)
        for name in NUMBERS:
            if ends := self._chosen(name):
                found[name] = _between(self.index.values.get(name, {}), *ends)
        return found

    def _without(self, facet):
        """What all filters but that one leave."""
        filters = [papers for name, papers in self._filters.items() if name != facet]
        return reduce(BitMap.__and__, sorted(filters, key=len)) if filters else self.index.papers

    def _by_relevance(self):
        """The more of the words are in the title, the further up; of these the best evidence first."""
        for band in evaluation.title_bands(self.index, self.found, self.alternatives):
            yield from ordering.by_evidence(self.index, band)

    def _ids(self, start, stop):
        bands = {
            "relevance": self._by_relevance,
            "newest": lambda: [self.found],
            "measured": lambda: ordering.by_evidence(self.index, self.found),
            "gain": lambda: ordering.by_gain(self.index, self.found),
        }[self.order]()
        return ordering.page(self.index, bands, start, stop)


def _between(values, first, last):
    low, high = (-float("inf") if first is None else first), (float("inf") if last is None else last)
    return BitMap([paper for paper, of in values.items() if any(low <= value <= high for value in of)])
