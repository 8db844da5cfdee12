"""What the clock asks of the pool. Whichever worker hears it does it; twice does no harm."""

from celery import shared_task

from reproduce import doorbell as doorbell  # a worker must know the control command that it holds
from reproduce import lifecycle, schedules


@shared_task
def sweep() -> None:
    """Take back what lost its worker, and ring for every device class that has a waiting run."""
    lifecycle.sweep()
    for device in lifecycle.waiting_devices():
        doorbell.ring(device)


@shared_task
def look_at_schedules() -> None:
    """Ask for what a schedule wants measured on a torch that is new here."""
    schedules.look()
