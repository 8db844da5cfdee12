"""Messages that carry nothing but "there is work": losing every one of them only costs seconds."""

import logging

from celery import current_app
from kombu.exceptions import OperationalError

EXPIRES_S = 60

logger = logging.getLogger(__name__)


def ring(device: str) -> bool:
    """Tell the workers of a device class, "cpu" or "cuda", that a run waits. False if the broker is away:
    the row is queued all the same, and the sweeper rings again."""
    try:
        current_app.send_task(
            "reproduce.tasks.answer", [device], queue=device, expires=EXPIRES_S, retry=False
        )
    except (OperationalError, OSError) as error:
        logger.warning("nobody heard the doorbell of %s: %s", device, error)
        return False
    return True
