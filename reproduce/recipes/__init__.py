"""Reproduction recipes: one folder each, run as a child process, without Django and without a database.

`python -m reproduce.recipes ls | check | run` lists, validates and runs them.
"""

TOOLBOX_VERSION = 2  # part of every recipe's digest: raise it when the way of measuring changes
