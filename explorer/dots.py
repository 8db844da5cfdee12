"""Claims against measurements of one metric: dots with intervals, the verdict by shape and word."""

import altair as alt
from django.utils.html import format_html

from explorer import drawing
from explorer.csv_text import as_csv
from explorer.drawing import INK, LOOK, MUTED, NUMBER, RULE, SURFACE, TONES
from explorer.templatetags.figures import WORDS, figure, interval, metric_name
from papers.metrics import METRICS

LEFT, WIDTH, RIGHT, TOP, BOTTOM = 190, 340, 180, 34, 46
KEY_COLUMNS, KEY_LINE = 3, 20
LABEL = 24  # letters of a second line
ROW, MOST = 40, 24  # pixels a row; rows drawn, while the table beneath has them all
SPREAD = 20  # from which ratio of the largest to the smallest on a scale is logarithmic whatever its unit
CLAIMED = "claimed"
DISC = "M0,-1A1,1,0,1,1,0,1A1,1,0,1,1,0,-1Z"
# The shapes of the chips, as one filled outline each: an inner turn the other way cuts a hole.
SHAPES = {
    CLAIMED: "M-0.28,-1H0.28V1H-0.28Z",
    "reproduced": DISC,
    "same_direction": f"{DISC}M0,-0.62V0.62A0.62,0.62,0,0,0,0.62,0A0.62,0.62,0,0,0,0,-0.62Z",
    "not_reproduced": f"{DISC}M0,-0.62A0.62,0.62,0,1,0,0,0.62A0.62,0.62,0,1,0,0,-0.62Z",
    "inconclusive": "M0,-1.15L1.15,0L0,1.15L-1.15,0ZM0,-0.6L-0.6,0L0,0.6L0.6,0Z",
    "not_comparable": "M-1,-0.6H1V-0.25H-1ZM-1,0.25H1V0.6H-1ZM0.35,-1H0.75L-0.35,1H-0.75Z",
    "invalid": "M-1,-0.7L-0.7,-1L0,-0.3L0.7,-1L1,-0.7L0.3,0L1,0.7L0.7,1L0,0.3L-0.7,1L-1,0.7L-0.3,0Z",
}
COLOURS = {CLAIMED: INK, "reproduced": TONES["good"], "same_direction": TONES["partly"]}
COLOURS |= {"not_reproduced": TONES["bad"], "invalid": TONES["bad"]}
COLOURS |= {"inconclusive": TONES["neutral"], "not_comparable": TONES["neutral"]}
HEAD = [("Paper", not NUMBER), ("Claimed", NUMBER), ("Range", NUMBER), ("Where", not NUMBER)]
HEAD += [
    ("Measured", NUMBER),
    ("95 % interval", NUMBER),
    ("Verdict", not NUMBER),
    ("Hardware, run", not NUMBER),
]
COLUMNS = ("paper", "metric", "claim", "claimed", "claim_low", "claim_high", "verified", "locator")
COLUMNS += ("measured", "low", "high", "n", "runs", "verdict", "device", "run")


def claims_and_measurements(metric, pairs):
    """A figure of the pairs (paper, claim or None, measurement or None) of one metric."""
    named = list(zip(labels(pairs), pairs, strict=True))
    marks = [mark for label, pair in named[:MOST] for mark in marks_of(label, *pair[1:])]
    more = f" (the first {MOST} of {len(pairs)})" if len(pairs) > MOST else ""
    return drawing.Figure(
        title=f"{metric_name(metric)}: claimed and measured{more}",
        kind="dots",
        data=(metric, [label for label, _ in named[:MOST]], marks),
        size=(LEFT + WIDTH + RIGHT, top(marks) + ROW * len(named[:MOST]) + BOTTOM),
        head=HEAD,
        rows=[table_row(*pair) for pair in pairs],
        csv=as_csv(COLUMNS, (csv_row(*pair) for pair in pairs)),
    )


def short(paper):
    """ "Dao et al. 2022", for an axis."""
    names = paper.author_list
    more = " et al." if len(names) > 1 or not paper.authors_complete else ""
    return f"{names[0].split(',')[0][:24]}{more} {paper.year}" if names else f"{paper.key[:24]}"


def labels(pairs):
    """A name for each row, no two the same: with a second line where a paper has several."""
    found = [short(paper) for paper, _, _ in pairs]
    places = [clipped(measured.label if measured else claim.locator) for _, claim, measured in pairs]
    twice = {name for name in found if found.count(name) > 1}
    told = [f"{name} · {place}" if name in twice else name for name, place in zip(found, places, strict=True)]
    return [
        name if (n := told[:place].count(name)) == 0 else f"{name} ({n + 1})"
        for place, name in enumerate(told)
    ]


def clipped(text):
    text = text.replace(" · ", ", ")
    return text if len(text) <= LABEL else text[: LABEL - 1].rstrip() + "…"


def marks_of(label, claim, measured):
    """The claim and the measurement of a row, as the chart's data."""
    if claim:
        told = f"{label.split(' · ')[0]} claims {words(claim)}"
        yield mark(label, CLAIMED, claim, told, "")
    if measured:
        word = WORDS[measured.verdict]
        told = f"{label.split(' · ')[0]}: measured {words(measured)}, {word}"
        yield mark(
            label, measured.verdict, measured, told, f"{figure(measured.value, measured.metric)} {word}"
        )


def mark(label, kind, numbers, told, beside):
    values = {"value": numbers.value, "low": numbers.low, "high": numbers.high}
    return {"row": label, "kind": kind, "side": kind == CLAIMED, "told": told, "beside": beside, **values}


def words(numbers):
    span = interval(numbers)
    return figure(numbers.value, numbers.metric) + (f" ({span})" if span else "")


def declare(metric, rows, marks):
    """The chart: for each row the claim with its range above, the measurement with its interval below."""
    kinds = kinds_of(marks)
    x = place(metric, marks)
    base = alt.Chart(alt.Data(values=marks)).encode(
        y=alt.Y("row:N", sort=rows, title=None, scale=alt.Scale(domain=rows), axis=ROWS),
        yOffset=alt.YOffset("side:N", sort=[True, False], scale=alt.Scale(paddingInner=0, paddingOuter=0.15)),
    )
    domain = [CLAIMED if kind == CLAIMED else WORDS[kind] for kind in kinds]
    named = [{"kind": kind, "word": word} for kind, word in zip(kinds, domain, strict=True)]
    base = base.transform_lookup("kind", alt.LookupData(alt.Data(values=named), "kind", ["word"]))
    colour = alt.Color(
        "word:N", scale=alt.Scale(domain=domain, range=[COLOURS[kind] for kind in kinds]), legend=KEY
    )
    shape = alt.Shape(
        "word:N", scale=alt.Scale(domain=domain, range=[SHAPES[kind] for kind in kinds]), legend=KEY
    )
    span = base.encode(x=x, x2="high:Q", color=colour)
    layers = [
        span.transform_filter("datum.side").mark_rule(strokeWidth=8, opacity=0.28, aria=False),
        span.transform_filter("!datum.side").mark_rule(strokeWidth=2.5, opacity=0.75, aria=False),
        # What is hollow shows the ground, and not the lines behind it.
        base.transform_filter("!datum.side")
        .mark_point(size=90, filled=True, fill=SURFACE, opacity=1, aria=False)
        .encode(x=alt.X("value:Q")),
        base.mark_point(size=90, filled=True, opacity=1).encode(
            x=alt.X("value:Q"), color=colour, shape=shape, description="told:N"
        ),
        base.mark_text(align="left", dx=10, fontSize=12, fill=INK, aria=False).encode(
            x=alt.value(WIDTH), text="beside:N"
        ),
    ]
    around = {
        "left": LEFT,
        "right": RIGHT,
        "top": top(marks),
        "bottom": BOTTOM,
    }
    fixed = {"width": WIDTH, "height": ROW * len(rows), "padding": around, "autosize": "none"}
    return alt.layer(*layers).properties(**fixed).configure(**LOOK)


def kinds_of(marks):
    return [kind for kind in SHAPES if any(each["kind"] == kind for each in marks)]


def top(marks):
    """The room for the lines of the legend."""
    return TOP + KEY_LINE * ((len(kinds_of(marks)) - 1) // KEY_COLUMNS)


KEY = alt.Legend(
    orient="top", title=None, columns=KEY_COLUMNS, columnPadding=26, symbolOpacity=1, symbolSize=90
)
ROWS = alt.Axis(
    labelExpr="split(datum.label, ' · ')", labelLimit=LEFT - 12, labelColor=INK, domain=False, ticks=False,
    grid=True, gridColor=RULE, bandPosition=1, labelLineHeight=14,
)  # fmt: skip


def place(metric, marks):
    """The axis: ratios by factors, other numbers too where they lie far apart, shares in per cent."""
    ends = [value for each in marks for value in (each["low"], each["high"])]
    unit = METRICS[metric].unit if metric in METRICS else ""
    least, most = min(ends), max(ends)
    log = least > 0 and (unit == "x" or most / least > SPREAD)
    if log:
        scale = alt.Scale(type="log", domain=[least / 1.12, most * 1.12], nice=False)
    else:
        margin = (most - least) * 0.06 or abs(most) * 0.1 or 1
        scale = alt.Scale(zero=False, domain=[least - margin, most + margin], nice=False)
    said = [
        part
        for part in (unit.replace("x", "×") if unit == "x" else unit, "by factors" if log else "")
        if part
    ]
    title = metric_name(metric) + (f" ({', '.join(said)})" if said else "")
    shown = ".3~%" if unit == "fraction" else ",~f" if 100 <= most < 1e6 else "~g"
    axis = alt.Axis(
        format=shown, tickCount=6, values=ticks(least, most) if log else alt.Undefined, titleColor=MUTED
    )
    return alt.X("low:Q", title=title, scale=scale, axis=axis)


def ticks(least, most):
    """Round numbers within the span of a logarithmic axis, as many as have room."""
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1,)):
        found = [round(step * 10.0**power, 12) for power in range(-12, 13) for step in steps]
        found = [step for step in found if least / 1.12 <= step <= most * 1.12]
        if len(found) <= 8:
            break
    return found if 1 < len(found) <= 8 else alt.Undefined


def table_row(paper, claim, measured):
    link = format_html('<a href="{}">{}</a>', paper.get_absolute_url(), short(paper))
    claimed = ["no claim", "", ""]
    if claim:
        claimed = [figure(claim.value, claim.metric), interval(claim), claim.locator]
    if not measured:
        return [link, *claimed, "not yet", "", "", ""]
    run = measured.run
    place = format_html('<a href="{}">{}</a>', run.get_absolute_url(), f"run {run.pk}")
    hardware = format_html("{} {}", run.device_name, place)
    seen = [figure(measured.value, measured.metric), interval(measured), WORDS[measured.verdict]]
    return [link, *claimed, *seen, hardware]


def csv_row(paper, claim, measured):
    claimed, seen = [""] * 6, [""] * 8
    if claim:
        claimed = [claim.slug, claim.value, claim.low, claim.high, claim.verified, claim.locator]
    if measured:
        seen = [measured.value, measured.low, measured.high, measured.n, measured.repeats, measured.verdict]
        seen += [measured.run.device_name, measured.run_id]
    return [paper.key, (claim or measured).metric, *claimed, *seen]
