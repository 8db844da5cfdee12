"""Papers over time by technique: small bars beside each name, a table of all of them, a chart for one."""

from collections import Counter
from dataclasses import dataclass

import altair as alt
from django.db.models import Count, Exists, OuterRef
from django.utils.html import format_html, format_html_join

from explorer import drawing
from explorer.csv_text import as_csv
from explorer.drawing import LINES, LOOK, NUMBER, STRONG
from papers.models import AXES, Claim, Paper, Technique
from reproduce.models import Measurement

YEARS = 12  # single years shown; all before them are gathered in one column
BAR, HEIGHT = 7, 20
SIZE = (640, 240)  # of the chart
KINDS = ("measured", "claims, not measured", "no claim recorded")
LOOKS = dict(zip(KINDS, (LINES[0], LINES[4], STRONG), strict=True))


@dataclass(frozen=True)
class Line:
    """A technique with its papers in each span of years, the first of which is all years before."""

    technique: Technique
    counts: list[int]
    total: int
    bars: str


def lines():
    """(titles of the spans, {axis: [Line]}): every technique, in the order of the taxonomy."""
    counts = Counter()
    for technique, year, papers in (
        Paper.objects.filter(techniques__isnull=False)
        .order_by()
        .values_list("techniques", "year")
        .annotate(Count("pk"))
    ):
        counts[technique, year] = papers
    last = max((year for _, year in counts), default=None)
    spans = spans_to(last) if last else []
    found = {axis: [] for axis in AXES}
    for technique in Technique.objects.all():
        years = {year: papers for (pk, year), papers in counts.items() if pk == technique.pk}
        sums = [sum(years.get(year, 0) for year in span) for span in spans]
        bars = bars_of(spans[1:], sums[1:]) if sums else ""
        found[technique.axis].append(Line(technique, sums, sum(years.values()), bars))
    return [title(span) for span in spans], found


def spans_to(last):
    first = last - YEARS + 1
    return [range(1900, first), *(range(year, year + 1) for year in range(first, last + 1))]


def title(span):
    return str(span[0]) if len(span) == 1 else f"to {span[-1]}"


def bars_of(spans, counts):
    """Bars to the scale of the technique's own busiest year; each says its year and number."""
    most = max(counts) or 1
    told = [f"{title(span)}: {count}" for span, count in zip(spans, counts, strict=True)]
    heights = [max(1.0, round(HEIGHT * count / most, 1)) if count else 0 for count in counts]
    bars = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        (
            (BAR * place, HEIGHT - height, BAR - 1.5, height, words)
            for place, (height, words) in enumerate(zip(heights, told, strict=True))
            if height
        ),
    )
    return format_html(
        '<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="Papers by year, {}">{}</svg>',
        BAR * len(counts),
        HEIGHT,
        ", ".join(words for words, count in zip(told, counts, strict=True) if count) or "none",
        bars,
    )


def csv_of(titles, found):
    rows = [
        [axis, line.technique.slug, line.technique.name, *line.counts, line.total]
        for axis, of_axis in found.items()
        for line in of_axis
    ]
    return as_csv(["axis", "technique", "name", *titles, "all"], rows)


def of_technique(technique):
    """A technique's papers year by year as a Figure, by how far their evidence goes; None without papers."""
    claims = Claim.objects.filter(paper=OuterRef("pk"))
    measured = Measurement.objects.scored().filter(run__paper=OuterRef("pk"))
    papers = technique.papers.order_by().annotate(says=Exists(claims), seen=Exists(measured))
    counts = Counter()
    for year, claimed, seen in papers.values_list("year", "says", "seen"):
        counts[year, KINDS[0 if seen else 1 if claimed else 2]] += 1
    if not counts:
        return None
    spans = spans_to(max(year for year, _ in counts))
    while not any(counts[year, kind] for year in spans[0] for kind in KINDS):
        spans = spans[1:]
    sums = [[sum(counts[year, kind] for year in span) for kind in KINDS] for span in spans]
    data = [
        {
            "year": title(span),
            "kind": kind,
            "papers": papers,
            "place": place,
            "told": told(span, kind, papers),
        }
        for span, row in zip(spans, sums, strict=True)
        for place, (kind, papers) in enumerate(zip(KINDS, row, strict=True))
    ]
    names = ["year", *KINDS, "all"]
    return drawing.Figure(
        title=f"Papers on {technique.name} by year",
        kind="years",
        data=([title(span) for span in spans], data),
        size=SIZE,
        head=[("Year", not NUMBER), *((name.capitalize(), NUMBER) for name in names[1:])],
        rows=[(linked(technique, span), *row, sum(row)) for span, row in zip(spans, sums, strict=True)],
        csv=as_csv(names, ([title(span), *row, sum(row)] for span, row in zip(spans, sums, strict=True))),
    )


def told(span, kind, papers):
    return f"{title(span)}, {kind}: {papers}"


def linked(technique, span):
    years = title(span) if len(span) == 1 else f"..{span[-1]}"
    return format_html(
        '<a href="/papers?technique={}&amp;year={}">{}</a>', technique.slug, years, title(span)
    )


def declare(years, rows):
    """Stacked bars, the best evidence at the bottom."""
    kinds = [kind for kind in KINDS if any(row["papers"] and row["kind"] == kind for row in rows)]
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=kinds, range=[LOOKS[kind] for kind in kinds]),
        legend=alt.Legend(
            orient="top", title=None, columns=3, columnPadding=26, symbolType="square", symbolOpacity=1
        ),
    )
    bars = alt.Chart(alt.Data(values=[row for row in rows if row["papers"]])).mark_bar()
    bars = bars.encode(
        x=alt.X("year:O", title=None, scale=alt.Scale(domain=years), axis=alt.Axis(labelAngle=0, grid=False)),
        y=alt.Y("papers:Q", title="papers", axis=alt.Axis(format="d", tickMinStep=1, tickCount=5)),
        color=colour,
        order=alt.Order("place:Q"),
        description="told:N",
    )
    look = LOOK | {"autosize": {"type": "fit", "contains": "padding"}}
    return bars.properties(width=SIZE[0], height=SIZE[1]).configure(**look)
