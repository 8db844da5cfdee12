"""Numbers, spans and verdicts as people read them: three significant digits, the metric's own unit."""

from functools import lru_cache
from itertools import groupby

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import mark_safe
from django.utils.text import slugify

from papers.metrics import METRICS
from reproduce import catalogue

register = template.Library()
THIN_SPACE, MINUS = "\u202f", "−"
SUFFIX = {"x": "×", "fraction": f"{THIN_SPACE}%", "%": f"{THIN_SPACE}%"}
# Shapes as well as words and colours: a verdict must survive a black-and-white print.
SHAPE = '<svg class="shape" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">{}</svg>'
RING = "M6 1.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6Z"
SHAPES = {
    "reproduced": f'<path class="full" d="{RING}"/>',
    "same_direction": f'<path d="{RING}"/><path class="full" d="M6 1.2a4.8 4.8 0 0 0 0 9.6Z"/>',
    "not_reproduced": f'<path d="{RING}"/>',
    "inconclusive": '<path d="M6 .8 11.2 6 6 11.2 .8 6Z"/>',
    "not_comparable": '<path d="M1.5 4.3h9M1.5 7.7h9M8.3 1.2 3.7 10.8"/>',
    "invalid": '<path d="M2 2l8 8M10 2l-8 8"/>',
}
WORDS = {
    "reproduced": "reproduced",
    "same_direction": "same direction",
    "not_reproduced": "not reproduced",
    "inconclusive": "inconclusive",
    "not_comparable": "not comparable",
    "invalid": "invalid",
}
# A small model is never said to reproduce a paper, only its trend (RECIPES, part A.1).
TIER_WORDS = {
    "A": ("reproduced", "Tier A: in the paper's own setting, which is synthetic or a count"),
    "B": ("reproduced", "Tier B: at real model shapes with random weights"),
    "C": ("trend reproduced", "Tier C: as a trend at small scale"),
}


@register.filter
def plain(value, keep_zeros=False):
    """Three significant digits, or all of an integer: 5.7123 -> 5.71, 10000 -> 10 000, 1.2e-5 -> 1.2e−5."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e7:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", MINUS)
    digits = max(0, 2 - int(f"{abs(value):e}".split("e")[1]))
    text = f"{value:,.{digits}f}"
    if "." in text and not keep_zeros:
        text = text.rstrip("0").rstrip(".")
    return text.replace(",", THIN_SPACE).replace("-", MINUS)


@register.filter
def figure(value, metric, keep_zeros=False):
    """A value of that metric with its unit: 5.71×, 3 %, 35 MB."""
    unit = METRICS[metric].unit if metric in METRICS else ""
    if value is None:
        return "–"
    if unit == "fraction":
        value *= 100
    return plain(value, keep_zeros) + (SUFFIX.get(unit) or (THIN_SPACE + unit if unit else ""))


@register.simple_tag
def interval(row):
    """ "2.19× – 2.20×" of a claim or a measurement; nothing where both ends are the value itself."""
    if row.low == row.high:
        return ""
    measured = hasattr(row, "n")
    return f"{figure(row.low, row.metric, measured)} – {figure(row.high, row.metric, measured)}"


@register.filter
def metric_name(slug):
    return METRICS[slug].name if slug in METRICS else slug


@register.filter
def metric_meaning(slug):
    return METRICS[slug].meaning if slug in METRICS else ""


@register.filter
def better_word(row):
    return {"higher": "higher is better", "lower": "lower is better"}.get(row.better, "")


@register.simple_tag
def verdict_chip(verdict, recipe=""):
    """A verdict as people read it; the recipe, by its slug, tells how close to the paper that is."""
    shape = format_html(SHAPE, mark_safe(SHAPES[verdict]))
    found = catalogue.recipe(recipe) if recipe and verdict == "reproduced" else None
    word, title = TIER_WORDS[found.tier] if found else (WORDS[verdict], "")
    name = verdict.replace("_", "-")
    title = format_html(' title="{}"', title) if title else ""
    return format_html('<span class="chip verdict-{}"{}>{} {}</span>', name, title, shape, word)


@register.filter
def verdict_word(verdict):
    return WORDS.get(verdict, "not measured yet")


@register.filter
def span(seconds):
    """Seconds as people say them: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@register.filter
def listed(value):
    """[128, 256] -> "128, 256": a parameter's value as a person would type it."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@register.filter
def item(mapping, key):
    return mapping.get(key)


@register.simple_tag
def search_link(search, **changes):
    """The query string of this search with some fields changed; None removes one."""
    return search.query(**changes)


@register.simple_tag
def choices(facet, lines):
    """The check boxes of a facet. In Python: a template of a hundred lines costs more than the search."""
    return mark_safe("".join(_choice(facet, line) for line in lines))


def _choice(facet, line):
    look, middle, end = _choice_parts(facet, line.value, line.label)
    none, checked = "" if line.count else " none", " checked" if line.chosen else ""
    return f"{look}{none}{middle}{checked}{end}{line.count}</span></label>\n"


@register.simple_tag
def grouped_choices(facet, lines):
    """The check boxes of a facet in groups that fold; one is open if something in it is chosen."""
    groups = [(name, list(group)) for name, group in groupby(lines, key=lambda line: line.group)]
    return mark_safe("".join(_group(facet, name, group) for name, group in groups))


def _group(facet, name, lines):
    state = " open" if any(line.chosen for line in lines) else ""
    return f"<details{state}>\n<summary>{escape(name)}</summary>\n{choices(facet, lines)}</details>\n"


@register.simple_tag
def years(search, lines):
    """The histogram of years: each a link that filters by it, and a bar."""
    most = max((line.count for line in lines), default=1)
    before, _, after = search.query(year="YEAR").partition("year=YEAR")
    return mark_safe("".join(_year(f"{before}year={line.value}{after}", line, most) for line in lines))


def _year(query, line, most):
    current = " aria-current=true" if line.chosen else ""
    return (
        f'<a data-year="{line.value}" href="/papers?{escape(query)}"{current}>'
        f'<span>{line.label}</span> <meter min="0" max="{most or 1}" value="{line.count}" aria-hidden="true">'
        f'</meter> <span class="count">{line.count}</span></a>\n'
    )


@lru_cache(maxsize=4096)
def _choice_parts(facet, value, label):
    """What stays the same of a check box, around what does not."""
    look = f'<label class="choice{f" axis-{value}" if facet == "axis" else ""}'
    name = f'id="{facet}-{slugify(value)}" name="{facet}" value="{escape(value)}"'
    middle = f'"><input type="checkbox" form="search" {name}'
    return look, middle, f'> <span>{escape(label)}</span> <span class="count">'
