"""A toy recipe for the tests of the harness: it behaves, or misbehaves, as its first argument says.

What it tries in vain it reports itself: the tests assert what the child saw.
"""

import contextlib
import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def tell(**event):
    write(json.dumps(event).encode() + b"\n")


def write(line):
    with Path(sys.argv[-1]).open("wb", buffering=0) as events:
        events.write(line)


def behave():
    tell(type="progress", fraction=0.5, step="half way")
    print("hello from the toy", flush=True)


def sleep():
    behave()
    time.sleep(600)


def fork():
    """Two generations of children in sessions of their own, which a killed process group would miss."""
    nap = "import time; time.sleep(600)"
    grand = (
        f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{nap}'], start_new_session=True)"
    )
    subprocess.Popen([sys.executable, "-c", f"{grand}; {nap}"], start_new_session=True)
    sleep()


def leave():
    """Ends well, but leaves a daemon behind."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    behave()


def crash():
    raise RuntimeError("the toy broke")


def confess():
    tell(type="failure", kind="out_of_memory", message="The toy's memory did not suffice.")
    sys.exit(1)


def babble():
    """Lines that no harness should believe, then a good one."""
    for line in (
        b"not json",
        b'{"type":"progress","fraction":NaN,"step":"x"}',
        b'{"type":"progress"}',
        b"[" * 70_000,
    ):
        write(line + b"\n")
    write(b"x" * 200_000 + b"\n")
    behave()


def shout():
    """Two million characters of output."""
    for number in range(20_000):
        print(f"{number:099d}")


def look():
    print(json.dumps(dict(os.environ)), flush=True)


def trace():
    """More points than anybody fetches at a time."""
    empty = dict.fromkeys(("memory_mb", "utilisation", "power_w", "temperature_c", "sm_clock_mhz"))
    for second in range(1500):
        tell(type="trace", t=second, gpu=0, **empty)


def unplug():
    """Deletes the FIFO: what is said from then on goes nowhere."""
    tell(type="progress", fraction=0.2, step="unplugging")
    Path(sys.argv[-1]).unlink()
    tell(type="progress", fraction=0.9, step="unheard")
    print("still here", flush=True)


def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep()


def segfault():
    ctypes.string_at(0)


def abort():
    os.abort()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def hoard():
    """Asks for more memory than it may have."""
    try:
        bytearray(2 * 2**30)
    except MemoryError:
        print("MemoryError", flush=True)


def breed():
    """Forks until it is not allowed to, a thousand times at most."""
    born = 0
    try:
        while born < 1000:
            if os.fork() == 0:
                signal.pause()
            born += 1
        print("nothing stopped it", flush=True)
    except OSError as error:
        print(f"stopped after {born}: {errno.errorcode[error.errno]}", flush=True)


def crowd():
    for _ in range(20):
        if os.fork() == 0:
            signal.pause()
    sleep()


def fill():
    Path("large").write_bytes(b"x" * 3_000_000)
    sleep()


def point():
    """Leaves a report that is a link to a file of somebody else."""
    Path("bundle.json").symlink_to(sys.argv[2])


def attack():
    """Everything that a recipe has no business to do, on the targets in its second argument, a JSON object."""
    targets = json.loads(sys.argv[2])
    deeds = {
        "secret": lambda: Path(targets["secret"]).read_text(),
        "keys": lambda: Path(targets["keys"]).read_text(),
        "hidden": lambda: names(targets["hidden"]),
        "engine": lambda: connect(socket.AF_UNIX, targets["engine"]),
        "loopback": lambda: connect(socket.AF_INET, ("127.0.0.1", targets["port"])),
        "abroad": lambda: connect(socket.AF_INET, ("192.0.2.1", 9)),
        "environ": lambda: Path(f"/proc/{targets['worker']}/environ").read_text(),
        "processes": lambda: len([name for name in names("/proc") if name.isdigit()]),
        "signal": lambda: os.kill(targets["worker"], signal.SIGKILL),
        "checkout": lambda: Path(__file__).with_name("written-by-a-run").write_text("x"),
        "outside": lambda: Path(targets["outside"]).write_text("x"),
        "sysctl": lambda: rewrite(Path("/proc/sys/vm/swappiness")),
        "thread name": lambda: Path(f"/proc/self/task/{os.getpid()}/comm").write_text("cuda"),
        "knobs": lambda: [
            name for name in names("/proc") if not name.isdigit() and writable(f"/proc/{name}")
        ],
        "devices": lambda: [name for name in names("/dev") if not name.startswith("nvidia")],
        "mounting": lambda: system("umount2", targets["hidden"].encode(), 2),
        "namespaces": lambda: system("unshare", 0x10000000),
        "privileges": lambda: [line.split()[1] for line in status() if line.startswith(("CapEff", "NoNew"))],
        "own folder": lambda: Path("written").write_text("x"),
        "shared memory": lambda: Path("/dev/shm/written").write_text("x"),
    }
    print(json.dumps({name: outcome(deed) for name, deed in deeds.items()}), flush=True)


def steal():
    """Lists the folders in its arguments."""
    print(json.dumps([outcome(lambda path=path: names(path)) for path in sys.argv[2:-2]]), flush=True)


def names(folder):
    return sorted(entry.name for entry in Path(folder).iterdir())


def writable(path):
    return not Path(path).is_symlink() and os.access(path, os.W_OK)


def rewrite(path):
    """Harmless where nothing prevents it."""
    return path.write_text(path.read_text())


def outcome(deed):
    try:
        return deed()
    except OSError as error:
        return errno.errorcode[error.errno]


def connect(family, address):
    with contextlib.closing(socket.socket(family)) as client:
        client.connect(address)
    return "connected"


def system(name, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)
    return "done"


def status():
    return Path("/proc/self/status").read_text().splitlines()


globals()[sys.argv[1]]()
