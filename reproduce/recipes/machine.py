"""What a number was measured on: processor, memory and GPUs (RECIPES, part A.6).

Everything may be unknown (None): a virtual machine hides much. Not recorded is which machine it was.
"""

import hashlib
import os
import platform
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch

from reproduce.recipes.gpu import Gpu, pynvml, slowed_by

PROCESSORS = Path("/sys/devices/system/cpu")


def host() -> dict[str, Any]:
    """Processor, memory, kernel and load."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        **_layout(),
        "cores": os.cpu_count(),
        "cores_allowed": len(allowed_cores()),
        "affinity": _ranges(sorted(allowed_cores())),
        "isolated_cores": _first_line(PROCESSORS / "isolated"),
        "governor": _first_line(PROCESSORS / "cpu0/cpufreq/scaling_governor"),
        "frequency_driver": _first_line(PROCESSORS / "cpu0/cpufreq/scaling_driver"),
        "pstate": _first_line(PROCESSORS / "intel_pstate/status")
        or _first_line(PROCESSORS / "amd_pstate/status"),
        "turbo": _turbo(),
        "memory_total": _field("/proc/meminfo", "MemTotal"),
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "runtime": _runtime(),
        "load_average": list(os.getloadavg()),
        "torch_threads": torch.get_num_threads(),
    }


def allowed_cores() -> set[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def accelerator(device: torch.device, gpus: Sequence[Gpu], count: int) -> dict[str, Any]:
    """The GPUs as torch and NVML describe them, the first of them at the top; empty on a CPU."""
    if device.type != "cuda":
        return {}
    seen = [_gpu(index, gpus[index] if gpus else None) for index in range(count)]
    return {
        **seen[0],
        "count": count,
        "others": seen[1:],
        "topology": [one.path_to(other) for one, other in combinations(gpus, 2)],
    }


def clocks(gpu: Gpu) -> dict[str, Any]:
    """Clocks in MHz, temperature, power, memory in use and the reasons for slower clocks, just now."""
    mask = gpu.slowed()
    return {
        **gpu.now(),
        "taken_mb": gpu.taken_mb(),
        "memory_clock_mhz": gpu.ask("GetClockInfo", pynvml.NVML_CLOCK_MEM),
        "slowed_mask": mask,
        "slowed_by": slowed_by(mask or 0),
    }


def _gpu(index: int, gpu: Gpu | None) -> dict[str, Any]:
    seen = torch.cuda.get_device_properties(index)
    return {
        "name": seen.name,
        "memory_mib": seen.total_memory // 2**20,
        "compute_capability": f"{seen.major}.{seen.minor}",
        "multiprocessors": seen.multi_processor_count,
        "l2_bytes": seen.L2_cache_size,
        "nvml": _nvml(gpu) if gpu else None,
    }


def _nvml(gpu: Gpu) -> dict[str, Any]:
    return {
        "uuid_sha256": hashlib.sha256(gpu.uuid.encode()).hexdigest(),
        "driver": str(pynvml.nvmlSystemGetDriverVersion()),
        "power_limit_w": (gpu.ask("GetEnforcedPowerLimit") or 0) / 1000,
        "max_sm_clock_mhz": gpu.ask("GetMaxClockInfo", pynvml.NVML_CLOCK_SM),
        "max_memory_clock_mhz": gpu.ask("GetMaxClockInfo", pynvml.NVML_CLOCK_MEM),
        "application_sm_clock_mhz": gpu.ask("GetApplicationsClock", pynvml.NVML_CLOCK_SM),
        "ecc": gpu.ask("GetEccMode"),
        "mig": gpu.ask("GetMigMode"),
        "persistence": gpu.ask("GetPersistenceMode"),
        "pcie_generation": gpu.ask("GetCurrPcieLinkGeneration"),
        "pcie_width": gpu.ask("GetCurrPcieLinkWidth"),
        "nvlinks": gpu.nvlinks(),
    }


def _layout() -> dict[str, int | None]:
    """Sockets and physical cores; a core counts once however many threads it runs."""
    blocks = [
        dict(line.split(":", 1) for line in block.replace("\t", "").splitlines() if ":" in line)
        for block in _text("/proc/cpuinfo").split("\n\n")
    ]
    cores = {(block.get("physical id"), block["core id"]) for block in blocks if "core id" in block}
    return {
        "sockets": len({socket for socket, _ in cores}) or None,
        "physical_cores": len(cores) or None,
    }


def _turbo() -> bool | None:
    """Whether the processor may exceed its base clock; drivers say so in two ways."""
    if (refused := _first_line(PROCESSORS / "intel_pstate/no_turbo")) is not None:
        return refused == "0"
    boost = _first_line(PROCESSORS / "cpufreq/boost")
    return None if boost is None else boost == "1"


def _ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers as the kernel writes them: 0-3,8."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in parts)


def _runtime() -> str | None:
    """The virtual machine or container, as far as the kernel tells."""
    release = platform.release()
    if "-fc" in release:
        return "firecracker"
    if (_first_line("/proc/version") or "").startswith("Linux version 4.4.0"):
        return "gvisor"
    return "docker" if Path("/.dockerenv").exists() else None


def _first_line(path: str | Path) -> str | None:
    return next((line.strip() for line in _text(path).splitlines()), None)


def _field(path: str, name: str) -> str | None:
    lines = _text(path).splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
