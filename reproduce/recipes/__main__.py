"""The command line: list, begin, validate and run recipes; verify a bundle, and run it again.

Only `run` and `rerun` need torch.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from reproduce.recipes import (
    claims,
    freezing,
    report,
    rerunning,
    running,
    scaffolding,
    spec,
    verifying,
)


def main(arguments: list[str] | None = None) -> int:
    """Parses the command line and does what it says; the exit status."""
    typed = sys.argv[1:] if arguments is None else arguments
    given = _parser().parse_args(typed, argparse.Namespace(typed=typed))
    try:
        return given.act(given)
    except KeyboardInterrupt:
        if "TORCHELASTIC_RUN_ID" not in os.environ:  # else the one that started us says so
            print("Stopped; no bundle was written.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reproduce.recipes", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="list the recipes").set_defaults(act=_list)
    new = commands.add_parser("new", help="begin a recipe that runs: its folder and its test")
    new.add_argument("slug")
    new.add_argument("--paper", required=True, metavar="ID", help="such as arXiv:2205.14135")
    new.set_defaults(act=scaffolding.new)
    check = commands.add_parser("check", help="validate recipes; list every fault and its remedy")
    check.add_argument("slug", nargs="?")
    check.set_defaults(act=_check)
    freeze = commands.add_parser("freeze", help="write down the rules of scoring before the first scored run")
    freeze.add_argument("slugs", nargs="*", metavar="slug")
    freeze.set_defaults(act=freezing.freeze)
    run = commands.add_parser("run", help="run a recipe and write its bundle")
    run.add_argument("slug")
    run.add_argument("--preset", choices=spec.PRESETS, default="smoke")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter")
    run.add_argument("--params", type=json.loads, default={}, metavar="JSON", help="change parameters")
    run.add_argument("--events", type=Path, metavar="PATH", help="write JSON lines to this FIFO or file")
    run.set_defaults(act=running.run)
    verify = commands.add_parser("verify", help="check a bundle by itself")
    verify.add_argument("file", type=Path)
    verify.set_defaults(act=verifying.verify)
    rerun = commands.add_parser("rerun", help="run again what a bundle measured, and compare")
    rerun.add_argument("file", type=Path)
    rerun.add_argument("--anyway", action="store_true", help="although this checkout's recipe is another")
    rerun.set_defaults(act=rerunning.rerun)
    for command in (run, rerun):
        command.add_argument("--device", choices=("cpu", "cuda"), help="by default the GPU, if there is one")
        command.add_argument("--out", type=Path, required=True, metavar="DIR", help="for bundle.json")
    return parser


def _list(given: argparse.Namespace) -> int:
    try:
        print(report.recipes(spec.load_all()))
    except spec.RecipeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check(given: argparse.Namespace) -> int:
    try:
        checked = [spec.load(given.slug)] if given.slug else spec.load_all()
    except spec.RecipeError as error:
        print(error, file=sys.stderr)
        return 1
    unfounded = [fault for recipe in checked for fault in claims.faults(recipe)]
    if found := [*unfounded, *freezing.broken_promises(checked)]:
        print("\n".join(found), file=sys.stderr)
        return 1
    print(f"{len(checked)} recipe{'' if len(checked) == 1 else 's'} checked, no fault found.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
