"""Messages that carry nothing but "there is work": losing every one of them only costs seconds.

A ring is a broadcast: each worker hears it, and whichever has a free slot claims. It is Celery's remote
control, so it is queued behind nothing and no busy worker can swallow it.
"""

import logging
import threading

from celery import current_app
from celery.worker.control import control_command

from reproduce.slots import slots

PATIENCE_S = 0.5

logger = logging.getLogger(__name__)


def ring(device: str) -> bool:
    """Tell every worker that a run of a device class, "cpu" or "cuda", waits. Whether it was heard at once.

    A broker that hangs or is away holds nobody up: the row is queued, and idle slots look by themselves.
    """
    return _ringer.ring(device)


@control_command(args=[("device", str)])
def answer(_: object, device: str) -> None:
    """In a worker: somebody rang."""
    slots.ring(device)


class _Ringer:
    """Rings in a thread of its own, one device class after the other, and as often as it takes to be heard.

    The client libraries try again for minutes when a broker hangs, whatever time-outs they are given.
    """

    def __init__(self) -> None:
        self._asked: dict[str, threading.Event] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def ring(self, device: str) -> bool:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._go_on, name="doorbell", daemon=True)
                self._thread.start()
            heard = self._asked.setdefault(device, threading.Event())
            self._changed.notify()
        return heard.wait(PATIENCE_S)

    def _go_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked)
                device, heard = self._asked.popitem()
            try:
                current_app.control.broadcast("answer", arguments={"device": device})
                heard.set()
            except Exception as error:  # whatever a client library raises, the next ring is tried
                logger.warning("nobody heard the doorbell of %s: %s", device, error)


_ringer = _Ringer()
