"""A small parent between harness and recipe: whatever happens to the harness, no process of a run survives.

Used as: python guard.py LIFELINE_FD -- command... It needs the standard library only and sees no secret.
When the lifeline's other end closes (told to stop, or the harness is dead) it kills every descendant.
"""

import ctypes
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
MAX_FILE_BYTES = 8 * 2**30
KILLED_BY_GUARD = 137
TICK_S = 0.05

libc = ctypes.CDLL(None, use_errno=True)


def main(argv: list[str]) -> int:
    """Run the command after "--" and return its exit status, 128 + signal, or 137 when told to stop."""
    lifeline, command = int(argv[0]), argv[2:]
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans of the run become ours, so none can hide
    isolated = leave_the_network()
    print(
        f"guard: network {'isolated' if isolated else 'not isolated: this kernel does not allow it'}",
        flush=True,
    )
    passed = [fd for fd in open_descriptors() if fd > 2 and fd != lifeline]
    child = subprocess.Popen(command, start_new_session=True, pass_fds=passed, preexec_fn=prepare_child)
    try:
        while child.poll() is None:
            if select.select([lifeline], [], [], TICK_S)[0]:
                return KILLED_BY_GUARD
        return child.returncode if child.returncode >= 0 else 128 - child.returncode
    finally:
        kill_descendants()


def prepare_child() -> None:
    """In the child, before the recipe: die with the guard, drop core files, bound the files it may write."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))


def leave_the_network() -> bool:
    """Move into a network namespace with nothing but loopback. Returns whether the kernel allowed it."""
    if libc.unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # torchrun meets itself on loopback
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16xh14x", fcntl.ioctl(probe, SIOCGIFFLAGS, request))[0]
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
    return True


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
    """Process ids below `root`, children first, from /proc."""
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


def open_descriptors() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir() if entry.exists()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
