"""The supervisor of production, which keeps chaos workers instead of the worker, and the broker if it is not its own."""

import json
import os
import sys

from config import up
from config.children import Child

SKEWS_S = (-90, 0, 90)  # a worker each

production = up.make_children


def make_children(var, host, port):
    os.environ["SPECTRUM_WORKER"] = "0"
    workers = [
        Child(f"worker-{number}", [sys.executable, "-m", "tests.chaos.worker", str(skew)], var, 20)
        for number, skew in enumerate(SKEWS_S, 1)
    ]
    command = json.loads(os.environ["CHAOS_BROKER"])
    return [*production(var, host, port), *workers, *([Child("broker", command, var)] if command else [])]


if __name__ == "__main__":
    up.make_children = make_children
    up.main()
