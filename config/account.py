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


def identity(home, programs):
    """Popen's arguments for a server that works in `home` with what is installed in the folders `programs`.

    What is closed to others on the way, root opens to the folder's own group and lends the server that group:
    no other user of the machine gains anything.
    """
    if os.geteuid() != 0:
        return {}
    groups = _open_trees(programs)
    for folder in {parent for path in (home, *programs) for parent in path.resolve().parents}:
        state = folder.stat()
        if state.st_mode & SEARCH != SEARCH:
            groups.add(state.st_gid)
            _open_to_group(folder)
    return {"user": account().pw_uid, "group": account().pw_gid, "extra_groups": sorted(groups)}


def _open_trees(folders):
    """Let the group use programs that were installed under a strict umask; the groups concerned."""
    groups = set()
    for path in [*folders, *(inside for folder in folders for inside in folder.rglob("*"))]:
        state = path.stat()
        owner = state.st_mode & (stat.S_IRUSR | stat.S_IXUSR)
        if ~state.st_mode & owner >> 6:
            groups.add(state.st_gid)
            path.chmod(state.st_mode | owner >> 3)
    return groups


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
