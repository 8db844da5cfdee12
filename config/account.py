"""The account the embedded servers run under: ours, or nobody when root starts them.

PostgreSQL refuses to run as root.
"""

import os
import pwd
import stat
import sys
from contextlib import suppress

SEARCH = stat.S_IXGRP | stat.S_IXOTH


class AccountError(Exception):
    """The servers cannot run as they should; the message says why and what to do."""


def account():
    """The passwd entry of the servers' account. Raises AccountError where there is none."""
    try:
        return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    except KeyError:
        who = "The account nobody" if os.geteuid() == 0 else f"User id {os.geteuid()}"
        raise AccountError(f"{who} has no entry in /etc/passwd, and PostgreSQL needs one: add it.") from None


def own_folder(folder):
    """Make `folder` private to the servers' account. Raises AccountError if it is a link or not theirs."""
    owner = account()
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != owner.pw_uid:
        raise AccountError(
            f"{folder} was made by user {_name(state.st_uid)}, and user {_name(os.geteuid())} must not use "
            "it: start Spectrum as the user who made it, or set SPECTRUM_VAR to a new folder."
        )
    folder.chmod(0o700)


def identity(*paths):
    """Popen's arguments for a server that must reach `paths`.

    Where a parent folder is closed to others, root opens it to the folder's own group (g+x) and lends the
    server that group: no other user of the machine gains anything.
    """
    if os.geteuid() != 0:
        return {}
    groups = set()
    for folder in {parent for path in paths for parent in path.resolve().parents}:
        state = folder.stat()
        if state.st_mode & SEARCH != SEARCH:
            groups.add(state.st_gid)
            _open_to_group(folder)
    return {"user": account().pw_uid, "group": account().pw_gid, "extra_groups": sorted(groups)}


def share_tree(folder):
    """As root: let the servers read a tree of programs that was installed under a strict umask."""
    if os.geteuid() != 0:
        return
    for path in [folder, *folder.rglob("*")]:
        mode = path.stat().st_mode
        wanted = mode | (mode & 0o500) >> 6 | (mode & 0o500) >> 3
        if mode != wanted:
            path.chmod(wanted)


def _open_to_group(folder):
    mode = folder.stat().st_mode
    if not mode & stat.S_IXGRP:
        folder.chmod(mode | stat.S_IXGRP)
        print(
            f"      (opened {folder} to its own group, so that the database server can pass)", file=sys.stderr
        )


def _name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
