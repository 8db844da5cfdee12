"""System calls that Python does not know: namespaces, mounts and prctl, for the guard of a run."""

import ctypes
import os
import struct
from pathlib import Path

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x08000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18
NO_SETUID, INERT = 2, 2 | 4 | 8  # nosuid; nosuid, nodev and noexec
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442  # numbered alike on every architecture
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 1, 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
CAP_DAC_OVERRIDE, LAST_CAPABILITY = 1, 63

libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones. This and what follows raises OSError."""
    _checked(libc.unshare(flags))


def mount(source: str, target: str | Path, kind: str, flags: int, options: str = "") -> None:
    strings = source.encode(), os.fsencode(target), kind.encode()
    _checked(libc.mount(*strings, ctypes.c_ulong(flags), options.encode()))


def copy_mount(path: Path) -> int:
    """A detached copy of all that is mounted at and below `path`, as a descriptor."""
    return _syscall(OPEN_TREE, AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC)


def put_mount(copy: int, path: Path) -> None:
    """Attach such a copy at `path`."""
    _syscall(MOVE_MOUNT, copy, b"", AT_FDCWD, os.fsencode(path), MOVE_MOUNT_F_EMPTY_PATH)
    os.close(copy)


def make_read_only(path: str | Path, flags: int = 0) -> None:
    """With AT_RECURSIVE every mount below as well: all of them or none."""
    _set_attributes(path, flags, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0)


def make_writable(path: str | Path) -> None:
    """One mount, and none below it."""
    _set_attributes(path, 0, 0, MOUNT_ATTR_RDONLY)


def _set_attributes(path: str | Path, flags: int, wanted: int, unwanted: int) -> None:
    attributes = struct.pack("4Q", wanted, unwanted, 0, 0)
    _syscall(MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, attributes, len(attributes))


def prctl(option: int, value: int) -> None:
    """Whether it worked is not asked: what it takes away may be gone already."""
    libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


def _syscall(*arguments: int | bytes) -> int:
    wide = (ctypes.c_long(part) if isinstance(part, int) else part for part in arguments)
    return _checked(libc.syscall(*wide))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
