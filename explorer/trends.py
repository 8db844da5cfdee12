"""What became of a recipe's headline number from torch to torch: a chart for each device, and a sentence."""

from dataclasses import dataclass
from itertools import groupby

from explorer import charts, drawing
from explorer.templatetags.figures import metric_name, plain
from papers.metrics import METRICS
from reproduce import pooling

SHOWN = 40


@dataclass(frozen=True)
class Trend:
    device_name: str
    chart: str
    told: str


def trends(recipe, pools):
    """A Trend for each device that measured more than once; `pools` are those of one question."""
    measure = next(each for each in recipe.measures if each.headline)
    found = []
    for device_name, group in groupby(pools, key=lambda pool: pool.device_name):
        of_device = list(group)
        points = [point for pool in of_device for point in _points(pool, measure.name)][-SHOWN:]
        if len(points) > 1:
            chart = _chart(measure, device_name, points, of_device)
            found.append(Trend(device_name, chart, told(pooling.latest_change(of_device))))
    return found


def told(change):
    """What a newer torch changed, in a sentence; nothing where only one torch has measured."""
    if change is None:
        return ""
    share = f"{100 * change.share:+.2g} %".replace("-", "−")
    if change.beyond_noise:
        said = f"Changed by {share} with torch {change.torch}; beyond the noise"
        return f"{said}: both intervals, and the {plain(100 * change.spread)} % between runs."
    if change.apart and change.spread is None:
        return (
            f"Changed by {share} with torch {change.torch}, which is beyond both intervals; but one run each "
            "says nothing of the spread between runs. Repeat it to tell."
        )
    return f"No change beyond the noise from torch {change.before} to {change.torch} ({share})."


def _points(pool, name):
    """The runs of a pool, oldest first, as charts.draw_trend takes them."""
    for run in reversed(pool.runs):
        for each in run.measurements.all():
            if each.name == name:
                day = run.finished.date().isoformat()
                yield pool.torch, day, run.pk, each.value, each.low, each.high


def _chart(measure, device_name, points, pools):
    unit = METRICS[measure.metric].unit
    y_title = f"{metric_name(measure.metric)} ({unit})" if unit else metric_name(measure.metric)
    claim = next((pool.headline.claim for pool in reversed(pools) if pool.headline), None)
    title = f"{measure.label}, {device_name or 'device unknown'}"
    figure = charts.draw_trend(title, y_title, points, claim.value if claim else None)
    return drawing.on_page([figure])[0]
