"""The pictures of recipes: what the newest sound full run of each drew, its main sweep first."""

from dataclasses import dataclass

from explorer import drawing
from explorer.charts import draw_series
from reproduce.models import Run

MOST = 6  # drawn on one page; the run's own page has them all


@dataclass(frozen=True)
class Picture:
    """A drawn figure and the run that it comes from."""

    run: Run
    figure: str


def main_pictures(recipes):
    """The first chart of each recipe's newest sound full run, in the order of the recipes."""
    newest = {run.recipe: run for run in _newest([recipe.slug for recipe in recipes])}
    found = [newest[recipe.slug] for recipe in recipes if recipe.slug in newest]
    return _drawn([(run, run.series[0]) for run in found if run.series])


def pictures_of(recipe):
    """All charts of the recipe's newest sound full run, a handful at most."""
    return _drawn([(run, series) for run in _newest([recipe.slug]) for series in run.series[:MOST]])


def _drawn(chosen):
    figures = drawing.on_page([draw_series(series) for _, series in chosen])
    return [Picture(run, figure) for (run, _), figure in zip(chosen, figures, strict=True)]


def _newest(slugs):
    """Each recipe's newest full run of ours in which every guard passed."""
    return (
        Run.objects.scored()
        .filter(recipe__in=slugs)
        .exclude(guards__contains=[{"passed": False}])
        .only("recipe", "series", "finished", "device_name")
        .order_by("recipe", "-finished", "-pk")
        .distinct("recipe")
    )
