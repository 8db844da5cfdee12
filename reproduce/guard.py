"""A small parent between harness and recipe: whatever happens to the harness, no process of a run survives.

Used as: python guard.py LIFELINE_FD [--hide PATH]... [--leave-open FENCE]... -- command, in the run's
folder, on the standard library alone. When the lifeline's other end closes it kills every descendant.
"""

import argparse
import os
import select
import signal
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from reproduce import isolation
from reproduce.kernel import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl

KILLED = 128 + signal.SIGKILL
BROKEN = 125  # the guard could not start the recipe
FIRST_VICTIM = "1000"  # the kernel's OOM killer takes the recipe before the worker or the database
TICK_S = 0.05


def main(argv: list[str]) -> int:
    """Run the command; its exit status, 128 + signal, 137 when told to stop, or BROKEN."""
    given = read(argv)
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of the run become ours, so none can hide
    fences = isolation.Fences(given.leave_open)
    fences.leave()
    alive, ours = os.pipe()
    init = os.fork()
    if init == 0:
        os.close(ours)
        os._exit(be_init(given, fences, alive))
    try:
        done = exit_of(init)
        while not (ended := os.waitpid(init, os.WNOHANG))[0]:
            if given.lifeline in select.select([given.lifeline, *done], [], [], TICK_S)[0]:
                return KILLED
        return exit_status(ended[1])
    finally:
        kill_descendants()


def read(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="guard.py", description=__doc__)
    parser.add_argument("lifeline", type=int)
    parser.add_argument("--hide", type=Path, action="append", default=[], metavar="PATH")
    parser.add_argument("--leave-open", action="append", default=[], metavar="FENCE")
    parser.add_argument("--memory", type=int, default=0, metavar="BYTES", help="of data, for each process")
    parser.add_argument("--tasks", type=int, default=8192, metavar="N", help="processes and threads")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(argv)


def exit_of(pid: int) -> list[int]:
    """A descriptor that becomes readable when the process ends; before Linux 5.3 only the tick tells."""
    try:
        return [os.pidfd_open(pid)]
    except OSError:
        return []


def be_init(given: argparse.Namespace, fences: isolation.Fences, guard: int) -> int:
    """Process 1 of the run's own world: raise the other fences, start the recipe, reap, pass its status on.

    The recipe itself is not process 1, which would ignore its own SIGABRT.
    """
    try:
        die_with(guard)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(FIRST_VICTIM)
        fences.enclose(Path.cwd(), given.hide, given.tasks)
        isolation.bound(given.memory, given.tasks, fences.own_user)
        print(f"guard: {fences}", flush=True)
        recipe = os.fork()
        if recipe == 0:
            become(given.command, fences)
        while (ended := os.wait())[0] != recipe:
            continue
        return exit_status(ended[1])
    except BaseException:
        traceback.print_exc()
        return BROKEN


def die_with(guard: int) -> None:
    """End when the guard does, whose end of this pipe closes then: it may have died before we could ask."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    if select.select([guard], [], [], 0)[0]:
        os._exit(KILLED)


def become(command: list[str], fences: isolation.Fences) -> None:
    """Turn this process into the recipe."""
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    isolation.drop_privileges(fences.own_user)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"guard: {command[0]} cannot be started: {error.strerror}", flush=True)
        os._exit(BROKEN)


def exit_status(waited: int) -> int:
    code = os.waitstatus_to_exitcode(waited)
    return code if code >= 0 else 128 - code


def kill_descendants() -> None:
    """SIGKILL every process below this one, again and again until none is left, and reap them all."""
    while True:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        select.select([], [], [], 0.005)


def descendants(root: int) -> Iterable[int]:
    """Process ids below `root`, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue  # it ended while we looked
        children.setdefault(parent, []).append(int(entry.name))
    waiting = [root]
    while waiting:
        found = children.get(waiting.pop(), [])
        yield from found
        waiting += found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
