"""What we re-measured: runs, what they measured, and the workers, batches and contributions around them."""

from reproduce.models.batches import Batch, BatchMember, Schedule
from reproduce.models.contributions import Contribution
from reproduce.models.measurements import Measurement
from reproduce.models.runs import LogChunk, Run, RunEvent, TraceChunk
from reproduce.models.workers import Worker

__all__ = [
    "Batch",
    "BatchMember",
    "Contribution",
    "LogChunk",
    "Measurement",
    "Run",
    "RunEvent",
    "Schedule",
    "TraceChunk",
    "Worker",
]
