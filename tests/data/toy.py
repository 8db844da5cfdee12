"""A toy recipe for the tests of the harness: it behaves, or misbehaves, as its first argument says."""

import json
import os
import subprocess
import sys
import time


def tell(**event):
    os.write(int(sys.argv[-1]), json.dumps(event).encode() + b"\n")


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
    descriptor = int(sys.argv[-1])
    for line in (
        b"not json",
        b'{"type":"progress","fraction":NaN,"step":"x"}',
        b'{"type":"progress"}',
        b"[" * 70_000,
    ):
        os.write(descriptor, line + b"\n")
    os.write(descriptor, b"x" * 200_000 + b"\n")
    behave()


def shout():
    """Two million characters of output."""
    for number in range(20_000):
        print(f"{number:099d}")


def look():
    print(json.dumps(dict(os.environ)), flush=True)


globals()[sys.argv[1]]()
