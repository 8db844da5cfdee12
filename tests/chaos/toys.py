"""How a worker starts a toy in place of the recipe; all else of the run stays as it is."""

import json
import os
import sys

from reproduce import catalogue
from tests.chaos import ledger


def command(run, folder, mode):
    """The command line of a toy, with a page of the ledger waiting in its folder. Raises OSError."""
    ledger.open_page(folder)
    given = {
        "run": run.pk,
        "attempt": run.attempt,
        "mode": mode,
        "recipe": {"slug": run.recipe, "version": run.recipe_version, "digest": run.recipe_digest},
        "measures": [measure.name for measure in catalogue.recipe(run.recipe).measures],
        "parameters": run.parameters,
        "folder": str(folder),
        "shout_mb": int(os.environ.get("CHAOS_SHOUT_MB", 50)),
    }
    return [sys.executable, "-m", "tests.chaos.toy", json.dumps(given)]
