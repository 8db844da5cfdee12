"""Where a number comes from: code, host, accelerator and numerics of one run (RECIPES, part A.6).

No name of a host, no user, no path and no secret is recorded.
"""

import hashlib
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from reproduce.recipes.gpu import Gpu, pynvml, slowed_by

ROOT = Path(__file__).parents[2]
VARIABLES = ("TORCH", "PYTORCH", "CUDA", "NCCL", "OMP", "MKL", "NVIDIA_TF32", "TRITON")
PACKAGES = ("torch", "triton", "numpy", "scipy", "scikit-learn", "nvidia-ml-py")


def code() -> dict[str, Any]:
    """Commit, versions and git revisions, a hash of all installed packages, settings that matter."""
    installed = sorted({f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()})
    return {
        **commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "torch_git": torch.version.git_version,
        "cuda_runtime": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": ".".join(map(str, torch.cuda.nccl.version())) if torch.cuda.is_available() else None,
        "freeze_sha256": hashlib.sha256("\n".join(installed).encode()).hexdigest(),
        "variables": _variables(),
    }


def commit() -> dict[str, Any]:
    """The commit that runs, and whether its recipes were changed since.

    SPECTRUM_COMMIT speaks for an exported copy without its history: whoever sets it vouches that the copy is
    unchanged, and the recipe's digest can tell.
    """
    if given := os.environ.get("SPECTRUM_COMMIT"):
        return {"commit": given[:64], "dirty": False}
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", "reproduce/recipes", "papers/metrics.py")
    return {"commit": head or None, "dirty": None if head is None else bool(changes)}


def host() -> dict[str, Any]:
    """Processor, memory, kernel and load; not which machine it was."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_total": _field("/proc/meminfo", "MemTotal"),
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "runtime": _runtime(),
        "load_average": list(os.getloadavg()),
        "torch_threads": torch.get_num_threads(),
    }


def accelerator(device: torch.device, gpu: Gpu | None) -> dict[str, Any]:
    """The GPU as torch and NVML describe it; empty on a CPU."""
    if device.type != "cuda":
        return {}
    seen = torch.cuda.get_device_properties(device)
    return {
        "name": seen.name,
        "count": 1,
        "memory_mib": seen.total_memory // 2**20,
        "compute_capability": f"{seen.major}.{seen.minor}",
        "multiprocessors": seen.multi_processor_count,
        "l2_bytes": seen.L2_cache_size,
        "nvml": _nvml(gpu) if gpu else None,
    }


def clocks(gpu: Gpu | None) -> dict[str, Any] | None:
    """Clocks in MHz, temperature, power and the reasons for slower clocks, just now."""
    if gpu is None:
        return None
    mask = gpu.slowed()
    return {
        **gpu.now(),
        "memory_clock_mhz": gpu.ask("GetClockInfo", pynvml.NVML_CLOCK_MEM),
        "slowed_mask": mask,
        "slowed_by": slowed_by(mask or 0),
    }


def numerics(device: torch.device, seed: int) -> dict[str, Any]:
    """Switches that change what arithmetic is done."""
    return {
        "seed": seed,
        "generator": "Philox" if device.type == "cuda" else "mt19937",
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": torch.backends.cudnn.allow_tf32,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "reduced_precision_reduction": torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
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
    }


def _variables() -> dict[str, str]:
    """Settings of the libraries; a value that may be a path is left out."""
    chosen = {
        k: v for k, v in os.environ.items() if k.startswith(VARIABLES) and "/" not in v and len(v) < 200
    }
    return dict(sorted(chosen.items()))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    if shutil.which("git") is None:
        return None
    answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def _runtime() -> str | None:
    """The virtual machine or container, as far as the kernel tells."""
    release = platform.release()
    if "-fc" in release:
        return "firecracker"
    if (_first_line("/proc/version") or "").startswith("Linux version 4.4.0"):
        return "gvisor"
    return "docker" if Path("/.dockerenv").exists() else None


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def _field(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)
