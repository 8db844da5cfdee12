"""The settings of the site with the benchmark's own Server-Timing around everything."""

from config.settings import *  # noqa: F403
from config.settings import MIDDLEWARE

MIDDLEWARE = ["searching.timing.ServerTiming", *MIDDLEWARE]
