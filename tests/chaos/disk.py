"""The disk that runs write to: a small one where root may mount it, so that it can be filled without harm."""

import subprocess
from contextlib import contextmanager

SIZE = "96m"
CHUNK = 2**20


@contextmanager
def small_disk(folder):
    """Mount a small disk at `folder` for a while; whether that was possible."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "chaos", str(folder)], capture_output=True
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    """Take every block that is free; the file that holds them."""
    ballast = folder / ".ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * CHUNK)
        except OSError:
            return ballast
