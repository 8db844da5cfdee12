"""How an attempt fails: the limits that it breaks while it runs, and what its exit status says in the end."""

import signal
from dataclasses import dataclass

import psutil
from django.conf import settings

from reproduce.guard import BROKEN, KILLED
from reproduce.harness import TASKS, Child
from reproduce.usage import FILES_COUNTED

PROCESSES = 512
DISK_BYTES = 8 * 10**9
PLATFORM = "The worker failed while it ran this; it costs you nothing. Ask again, or tell the operators."
DISK_FULL = "The worker's disk was full; it costs you nothing. Ask again, or tell the operators."
TOO_MUCH_MEMORY = (
    "It used more than the {gb:.0f} GB of memory that a run may have; ask for a smaller problem."
)
STARVED = "The system killed it because memory ran out; ask for a smaller problem."
KILLED_PERHAPS = "It was killed (SIGKILL), as the system does when memory runs out."
KILLED_BY_HAND = "It was killed (SIGKILL), and not because memory ran out: somebody, or it itself, sent that."


@dataclass(frozen=True)
class Failure:
    kind: str
    message: str


def memory_limit() -> float:
    """Bytes that all processes of a run may have together."""
    return settings.RUN_MEMORY_GB * 10**9 or 0.8 * psutil.virtual_memory().total


def excess(child: Child, time_limit: int) -> Failure | None:
    """The limit that a child has broken, if any."""
    if child.seconds > time_limit:
        return Failure("timeout", f"It was stopped after its limit of {time_limit} s.")
    usage = child.usage()
    if usage.memory_bytes > memory_limit():
        return Failure("out_of_memory", TOO_MUCH_MEMORY.format(gb=memory_limit() / 1e9))
    for taken, most, what in (
        (usage.processes, PROCESSES, f"{PROCESSES} processes"),
        (usage.threads, TASKS, f"{TASKS} threads"),
        (usage.disk_bytes, DISK_BYTES, f"{DISK_BYTES / 1e9:g} GB in its folder"),
        (usage.files, FILES_COUNTED, f"{FILES_COUNTED} files in its folder"),
    ):
        if taken > most:
            return Failure("recipe_error", f"It was stopped because it had more than {what}.")
    return None


def failure_of(child: Child) -> Failure | None:
    """How a child that ended by itself failed, if it did; what the recipe said of itself comes first."""
    code, said = child.process.returncode, child.news().failure
    if code == 0:
        return None
    if said:
        return Failure(said["kind"], said["message"])
    if code < 0 or code == BROKEN:  # the guard itself was killed, or it could not start the recipe
        return Failure("platform", PLATFORM)
    if code == KILLED:
        return killed(child.starved)
    if code > 128 and code - 128 in set(signal.Signals):
        name = signal.Signals(code - 128).name
        return Failure("recipe_error", f"The recipe crashed with {name}; the log may say more.")
    return Failure("recipe_error", f"The recipe ended with exit status {code}; the log says more.")


def killed(starved: bool | None) -> Failure:
    """Who sent SIGKILL: the kernel's counter of such ends tells, where it has one."""
    if starved is None:
        return Failure("out_of_memory", KILLED_PERHAPS)
    return Failure("out_of_memory", STARVED) if starved else Failure("platform", KILLED_BY_HAND)
