"""Where a number comes from: code, settings and numerics of one run (RECIPES, part A.6).

No name of a host, no user, no path and no secret is recorded.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
VARIABLES = ("TORCH", "PYTORCH", "CUDA", "NCCL", "OMP", "MKL", "NVIDIA_TF32", "TRITON")
LAUNCHER = "TORCHELASTIC"  # what torchrun tells its processes is no setting of a library
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
        "cusparselt": torch.backends.cusparselt.version(),
        "nvcc": _nvcc(),
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
    head = _said("git", "rev-parse", "HEAD")
    changes = _said("git", "status", "--porcelain", "--", "reproduce/recipes", "papers/metrics.py")
    return {"commit": head or None, "dirty": None if head is None else bool(changes)}


def numerics(device: torch.device, seed: int) -> dict[str, Any]:
    """Switches that change what arithmetic is done, as the recipe left them, and the seeds it began with."""
    return {
        "seed": seed,
        "seeds": {"python": seed, "numpy": seed, "torch": seed},
        "generator": "Philox" if device.type == "cuda" else "mt19937",
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "autocast": torch.is_autocast_enabled(device.type),
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": torch.backends.cudnn.allow_tf32,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "reduced_precision_reduction": torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "attention_backends_allowed": _attention_backends(),
    }


def _attention_backends() -> list[str]:
    """What scaled_dot_product_attention may choose from; which one it took is the recipe's to say."""
    asked = {
        "flash": torch.backends.cuda.flash_sdp_enabled,
        "memory efficient": torch.backends.cuda.mem_efficient_sdp_enabled,
        "cuDNN": torch.backends.cuda.cudnn_sdp_enabled,
        "math": torch.backends.cuda.math_sdp_enabled,
    }
    return [name for name, allowed in asked.items() if allowed()]


def _variables() -> dict[str, str]:
    """Settings of the libraries; a value that may be a path is left out."""
    chosen = {
        k: v
        for k, v in os.environ.items()
        if k.startswith(VARIABLES) and not k.startswith(LAUNCHER) and "/" not in v and len(v) < 200
    }
    return dict(sorted(chosen.items()))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _nvcc() -> str | None:
    """The release of the CUDA compiler that a recipe with kernels of its own would find."""
    found = re.search(r"release [\d.]+, V([\d.]+)", _said("nvcc", "--version") or "")
    return found and found[1]


def _said(*command: str) -> str | None:
    """What a program answers in the checkout; None without it, and if it fails."""
    if shutil.which(command[0]) is None:
        return None
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None
