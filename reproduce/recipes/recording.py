"""What a run leaves behind: its bundle, with where every number comes from (RECIPES, part A.6)."""

import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from reproduce.recipes import TOOLBOX_VERSION, blocks, bundle, environment, machine, spec, toolbox
from reproduce.recipes.context import SEED, Context
from reproduce.recipes.gpu import Gpu, GpuUnseen
from reproduce.recipes.trace import THROTTLED_LIMIT, Trace


@dataclass(frozen=True)
class Recording:
    """One run: begin before it, let its context and trace fill, then write."""

    context: Context
    trace: Trace
    unseen: str | None
    started: datetime
    clocks_before: list[dict[str, Any]]

    @classmethod
    def begin(cls, context: Context, trace: Trace, unseen: str | None) -> "Recording":
        """Looks at the clock and the GPUs just now."""
        return cls(context, trace, unseen, datetime.now(UTC), [machine.clocks(gpu) for gpu in trace.gpus])

    def write(
        self, failure: dict[str, str] | None, peaks: Sequence[Mapping[str, Any]], path: Path
    ) -> dict[str, Any]:
        """Ends the recording as `path` and returns the bundle; `peaks` are those of each process."""
        context, trace = self.context, self.trace
        if failure is None:
            _guard(context, trace)
        recipe, count = context.recipe, context.world_size
        data = {
            "schema": 1,
            "recipe": {"slug": recipe.slug, "version": recipe.version, "digest": recipe.digest},
            "preset": context.preset,
            "parameters": dict(context.parameters),
            "device": {"kind": context.device.type, "name": _device_name(context.device), "count": count},
            "started": self.started.isoformat(timespec="milliseconds"),
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "status": "failed" if failure else "done",
            "failure": failure,
            "metrics": context.metrics,
            "guards": context.guards,
            "series": context.series,
            "trace": trace.kept(),
            "environment": self._environment(peaks),
            "gpu_seconds": trace.seconds * count if context.device.type == "cuda" else 0.0,
            "energy_j": trace.joules,
            "log": "\n".join(context.lines),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        return bundle.write(path, data, context.samples)

    def _environment(self, peaks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        context = self.context
        return {
            "identity": {
                "slug": context.recipe.slug,
                "version": context.recipe.version,
                "claims": [measure.claim for measure in context.recipe.measures if measure.claim],
                "config_sha256": bundle.digest(
                    {"preset": context.preset, "parameters": dict(context.parameters)}
                ),
            },
            "code": environment.code(),
            "host": machine.host(),
            "accelerator": machine.accelerator(context.device, self.trace.gpus, context.world_size),
            "numerics": environment.numerics(context.device, SEED),
            "data": context.data,
            "measurement": self._measurement(peaks),
        }

    def _measurement(self, peaks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        gpu, trace = self.context.device.type == "cuda", self.trace
        return {
            "toolbox": TOOLBOX_VERSION,
            "blocks": dict(blocks.used_in(spec.FOLDER / self.context.recipe.slug)),
            "processes": self.context.world_size,
            "clock": "CUDA events" if gpu else "perf_counter",
            "flush_bytes": toolbox.FLUSH_BYTES if gpu else 0,
            "order": "all arms each round, each in every place equally often; the baseline twice (A/A)",
            "outliers": "none removed; medians",
            "comparisons": self.context.timings,
            "gpus_before": self.clocks_before,
            "gpus_after": [machine.clocks(gpu) for gpu in trace.gpus],
            "power_capped_share": trace.power_capped,
            "throttled_share": trace.throttled,
            "other_processes": trace.other_processes,
            "unseen": self.unseen,
            "peaks": list(peaks),
        }


def gpus_seen(device: torch.device, indices: Sequence[int]) -> tuple[list[Gpu], str | None]:
    """NVML's view of these GPUs, or why there is none."""
    if device.type != "cuda":
        return [], "not a GPU: no trace, no energy"
    try:
        return [Gpu(index) for index in indices], None
    except GpuUnseen as error:
        print(f"No trace and no energy: {error}.", file=sys.stderr)
        return [], str(error)


def peak_memory(device: torch.device) -> dict[str, int | None]:
    """The most memory that this process ever held, of the GPU by torch's allocator and of the host."""
    on_gpu = device.type == "cuda"
    return {
        "allocated_bytes": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        "reserved_bytes": torch.cuda.max_memory_reserved(device) if on_gpu else None,
        "resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _guard(context: Context, trace: Trace) -> None:
    if not trace.gpus:
        return
    context.guard(
        "alone_on_gpu",
        trace.other_processes,
        0,
        "Other processes held memory of the GPU before or after the run.",
    )
    context.guard(
        "unthrottled",
        trace.throttled,
        THROTTLED_LIMIT,
        "Share of the trace in which heat or hardware held the clocks down; the card's own power limit "
        f"did in {trace.power_capped:.0%}, which is its normal full load.",
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return (machine.host()["cpu"] or "CPU")[:120]
