"""torchrun: starts the same command line once for each GPU of a run, and ends all of them when one fails."""

import os
import signal
from collections.abc import Sequence

import torch.distributed.run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from reproduce.recipes.machine import allowed_cores


def launch(count: int, typed: Sequence[str]) -> tuple[int, dict[str, str] | None]:
    """Runs the command line as typed in `count` processes: the status, and a failure that none could tell."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(allowed_cores()) // count)))
    # This machine by its number: a name would be asked of a name server, which an isolated run cannot reach.
    where = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(count)]
    try:
        torchrun.run(torchrun.parse_args([*where, "-m", "reproduce.recipes", *typed]))
    except ChildFailedError as error:
        rank, first = error.get_first_failure()
        return 1, _untold(rank, first.exitcode)
    except SignalException as ended:
        if ended.sigval == signal.SIGINT:
            raise KeyboardInterrupt from ended
        return 128 + ended.sigval, None
    return 0, None


def _untold(rank: int, status: int) -> dict[str, str] | None:
    """The failure of a process that ended without a word; the first, and none else, speaks for itself."""
    if status == -signal.SIGKILL:
        told = "the system killed it, as it does when memory runs out"
        return {"kind": "out_of_memory", "message": f"Rank {rank}: {told}."}
    if status < 0:
        return {
            "kind": "recipe_error",
            "message": f"Rank {rank} was ended by {signal.Signals(-status).name}.",
        }
    if rank > 0:
        return {
            "kind": "recipe_error",
            "message": f"Rank {rank} ended with status {status}; the log says more.",
        }
    return None
