"""The fences around a recipe: no network, no foreign process, no file to change, no secret, no privilege.

Runs inside guard.py, as root or as an ordinary user, on the standard library alone. What a kernel refuses is
left out and named, reason and all; the other fences still hold.
"""

import fcntl
import os
import re
import resource
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from reproduce import kernel
from reproduce.kernel import (
    INERT,
    NO_SETUID,
    copy_mount,
    make_read_only,
    make_writable,
    mount,
    put_mount,
    unshare,
)

CHECKOUT = Path(__file__).resolve().parent.parent
DEVICES = ("null", "zero", "full", "random", "urandom", "nvidia*")
SHARED_MEMORY_BYTES = 2 * 2**30  # /dev/shm, where NCCL and torch's loaders meet
FILE_BYTES = 8 * 2**30
# What of /proc is the machine's own. The rest must stay writable, for CUDA names its threads there:
# cuInit fails with "operating system" (304) where /proc/self/task/*/comm cannot be written.
MACHINE = ("acpi", "asound", "bus", "driver", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger")
PID_MAX_IS_PER_NAMESPACE = (6, 14)  # the Linux from which on; before, it is the whole machine's
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

LEFT_OPEN = "left open by its worker: CUDA does not start behind it"
REFUSED, LISTED = "this kernel does not allow it", "they can be listed, though not touched"


class Fences:
    """Raises what can be raised, in two steps, and remembers for each fence why it does not hold."""

    def __init__(self, left_open: Iterable[str] = ()) -> None:
        self.left_open = set(left_open)
        self.refused: dict[str, str | None] = {}
        self.own_user = False

    def leave(self) -> None:
        """In the guard: the namespaces that its next child is born into."""
        self.own_user = enter_user_namespace()
        self._raise("network", leave_network)
        self._raise("processes", lambda: unshare(kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC))

    def enclose(self, folder: Path, hidden: list[Path], tasks: int) -> None:
        """In that child: a /proc that shows its own processes only, and files that it cannot change.

        Raises OSError where going on would leave the recipe in a world half made.
        """
        if self._raise("files", own_mounts, anyway=True):  # a /proc of its own needs them too
            if self._held("processes") and self._raise("processes", mount_proc, LISTED):
                bound_tasks(tasks, self.own_user)
            writable: dict[Path, int] = {}
            if self._raise("files", lambda: writable.update(freeze(folder))):
                furnish(folder, hidden, writable)
        elif self._held("processes"):
            self.refused["processes"] = f"{LISTED}: there are no mounts of its own"

    def __str__(self) -> str:
        held = ", ".join(name for name in self.refused if self._held(name))
        missing = ", ".join(f"{name} ({why})" for name, why in self.refused.items() if why)
        return "; ".join([f"isolated: {held}"] * bool(held) + [f"not isolated: {missing}"] * bool(missing))

    def _held(self, name: str) -> bool:
        return self.refused[name] is None

    def _raise(self, name: str, fence: Callable[[], None], lost: str = REFUSED, anyway: bool = False) -> bool:
        if name in self.left_open and not anyway:
            self.refused[name] = LEFT_OPEN
            return False
        try:
            fence()
            self.refused[name] = None
        except OSError as error:
            self.refused[name] = f"{lost}: {error.strerror}"
        return self._held(name)


def enter_user_namespace() -> bool:
    """Become a user without power over the host who may still make namespaces. False if it is not to be.

    Tried in a child first, since ids that the kernel then refuses to map could not be had back.
    """
    child = os.fork()
    if child == 0:
        try:
            become_mapped()
            unshare(kernel.CLONE_NEWNS)  # Ubuntu hands out user namespaces that may do nothing
            needed = os.access(CHECKOUT, os.R_OK | os.X_OK) and os.access(sys.executable, os.X_OK)
            os._exit(not (needed and os.access(".", os.W_OK)))  # root's power over others' folders is gone
        except OSError:
            os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        return False
    become_mapped()
    return True


def become_mapped() -> None:
    user, group = os.geteuid(), os.getegid()
    unshare(kernel.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def leave_network() -> None:
    """Nothing but loopback, on which the processes of a torchrun meet."""
    unshare(kernel.CLONE_NEWNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16xh14x", fcntl.ioctl(probe, SIOCGIFFLAGS, request))[0]
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def own_mounts() -> None:
    unshare(kernel.CLONE_NEWNS)
    mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)


def mount_proc() -> None:
    mount("proc", "/proc", "proc", INERT)


def bound_tasks(tasks: int, own_user: bool) -> None:
    """No user namespace below this one, with powers again; few process ids, for RLIMIT_NPROC spares root."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    with suppress(OSError):
        if own_user:
            Path("/proc/sys/user/max_user_namespaces").write_text("0")
        if tuple(map(int, release.groups())) >= PID_MAX_IS_PER_NAMESPACE:
            Path("/proc/sys/kernel/pid_max").write_text(str(tasks))


def freeze(folder: Path) -> dict[Path, int]:
    """Everything read-only. Returns copies of `folder` and of the devices, made while they were writable.

    Turning read-only is the last step that kernels refuse, and one that is refused has changed nothing.
    """
    devices = (node for pattern in DEVICES for node in sorted(Path("/dev").glob(pattern)))
    writable = {path: copy_mount(path) for path in (*devices, folder)}
    for path in (Path("/proc", name) for name in MACHINE):
        if path.exists():
            put_mount(copy_mount(path), path)  # a mount of its own, which stays read-only
    make_read_only("/", kernel.AT_RECURSIVE)
    make_writable("/proc")
    return writable


def furnish(folder: Path, hidden: list[Path], writable: dict[Path, int]) -> None:
    """A /dev of its own, nothing to see in `hidden`, and the run's folder back in its place."""
    covered = [path for path in sorted(hidden) if path.exists()]
    programs = {path for path in (CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)) if _below(path, covered)}
    kept = {path: copy_mount(path) for path in sorted(programs)} | {folder: writable.pop(folder)}
    make_devices(writable)
    made = [Path("/dev")]
    for path in covered:
        if path.is_dir():
            mount("tmpfs", path, "tmpfs", INERT, "size=64k,mode=755")
            made.append(path)
        elif path.exists():  # a socket, say; it may be gone with the folder above it
            put_mount(copy_mount(Path("/dev/null")), path)
    for path, copy in kept.items():
        path.mkdir(parents=True, exist_ok=True)
        put_mount(copy, path)
    for path in made:
        make_read_only(path)
    os.chdir(folder)  # until now we stood below all this


def make_devices(nodes: dict[Path, int]) -> None:
    """A /dev without disks, terminals, kernel memory or virtual machines, which file rights alone guard."""
    mount("tmpfs", "/dev", "tmpfs", NO_SETUID, "size=64k,mode=755")
    for node, copy in nodes.items():
        node.mkdir() if stat.S_ISDIR(os.fstat(copy).st_mode) else node.touch()
        put_mount(copy, node)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        Path("/dev", name).symlink_to(f"/proc/self/fd{target}")
    shared = Path("/dev/shm")
    shared.mkdir()
    mount("tmpfs", shared, "tmpfs", INERT, f"size={SHARED_MEMORY_BYTES},mode=1777")


def bound(memory: int, tasks: int, own_user: bool) -> None:
    """Limits of the kernel's own, for each process; the harness looks after their sum."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: FILE_BYTES}
    if memory:
        limits[resource.RLIMIT_DATA] = memory
    if own_user:  # elsewhere it would count every process of the worker's user
        limits[resource.RLIMIT_NPROC] = tasks
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lower, lower))


def drop_privileges(own_user: bool) -> None:
    """From the next program on no capability, and no way to gain one.

    Without a user namespace root keeps one, to read a checkout that lies in somebody's closed home.
    """
    for capability in range(kernel.LAST_CAPABILITY + 1):
        if own_user or capability != kernel.CAP_DAC_OVERRIDE:
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def _below(path: Path, folders: list[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
