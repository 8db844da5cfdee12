"""The settings of the site with the benchmark's own Server-Timing around everything."""

from config.settings import *
from config.settings import MIDDLEWARE

MIDDLEWARE = ["searching.timing.ServerTiming", *MIDDLEWARE]
