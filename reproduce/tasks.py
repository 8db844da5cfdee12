"""What a worker does when a message arrives: look at the rows."""

from celery import shared_task

from reproduce import doorbell, execution, lifecycle
from reproduce.slots import slots


@shared_task
def answer(device: str) -> None:
    """Somebody rang: serve waiting runs for as long as this process has a free slot for them."""
    slots.serve(device)


@shared_task
def sweep() -> None:
    """Take back what lost its worker, and ring for every device class that has a waiting run."""
    lifecycle.sweep()
    execution.clear_leftovers()
    for device in lifecycle.waiting_devices():
        doorbell.ring(device)
