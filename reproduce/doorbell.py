"""Messages that carry nothing but "there is work": losing every one of them only costs seconds.

A ring is a broadcast: each worker hears it, and whichever has a free slot claims. It is Celery's remote
control, so it is queued behind nothing and no busy worker can swallow it.
"""

import logging

from celery import current_app
from celery.worker.control import control_command
from kombu.exceptions import OperationalError

from reproduce.slots import slots

logger = logging.getLogger(__name__)


def ring(device: str) -> bool:
    """Tell every worker that a run of a device class, "cpu" or "cuda", waits. False if the broker is away:
    the row is queued all the same, and idle slots look by themselves every few seconds."""
    try:
        current_app.control.broadcast("answer", arguments={"device": device})
    except (OperationalError, OSError) as error:
        logger.warning("nobody heard the doorbell of %s: %s", device, error)
        return False
    return True


@control_command(args=[("device", str)])
def answer(_: object, device: str) -> None:
    """In a worker: somebody rang."""
    slots.ring(device)
