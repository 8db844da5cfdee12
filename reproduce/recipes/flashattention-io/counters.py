"""Bytes to and from device memory by hardware counters: Nsight Compute runs this file once for each arm."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from reproduce.recipes.context import Context

from .attention import Batch, both, fused, kernels, padding_mask, standard

ROOT = Path(__file__).parents[3]
METRIC = "dram__bytes.sum"
PLACES = "/usr/local/cuda/bin:/opt/nvidia/nsight-compute"
TIMEOUT_S = 90


def read(
    context: Context, shape: tuple[int, int, int, int], dtype: str
) -> tuple[dict[str, float] | None, str | None]:
    """Bytes of forward and backward for "standard" and "flash"; or None, and the reason."""
    tool = shutil.which("ncu") or shutil.which("ncu", path=PLACES)
    if context.device.type != "cuda" or tool is None:
        return None, "no GPU" if context.device.type != "cuda" else "Nsight Compute is not installed"
    found = {}
    for arm in ("standard", "flash"):
        try:
            found[arm] = _profile(tool, arm, shape, dtype, context["dropout"])
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            context.log(f"Nsight Compute gave no count for {arm}: {str(error)[-2000:]}")
            return None, "Nsight Compute did not run here"
    return found, None


def _profile(tool: str, arm: str, shape: tuple[int, ...], dtype: str, dropout: float) -> float:
    command = [tool, "--metrics", METRIC, "--csv", "--print-units", "base", "--profile-from-start", "off"]
    command += ["--clock-control", "none", "--cache-control", "none", "--target-processes", "all"]
    command += [sys.executable, "-m", __spec__.name, arm, dtype, str(dropout), *map(str, shape)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise ValueError(f"{done.stdout[-1000:]} {done.stderr[-1000:]}")
    return total(done.stdout)


def total(printed: str) -> float:
    """The sum of the metric over all kernels in ncu's CSV. Raises ValueError if there is none."""
    rows = csv.DictReader(line for line in printed.splitlines() if line.startswith('"'))
    values = [float(row["Metric Value"].replace(",", "")) for row in rows if row.get("Metric Name") == METRIC]
    if not values:
        raise ValueError("no kernel was counted")
    return sum(values)


def _one_pass(arm: str, dtype: str, dropout: str, *shape: str) -> None:
    """Forward and backward once, counted, after one uncounted time."""
    device, kind, size = torch.device("cuda"), getattr(torch, dtype), tuple(map(int, shape))
    mask = padding_mask(size[0], size[2], kind, device)
    plain, flash = standard(float(dropout), mask), fused(kernels(device)["flash"], float(dropout))
    work = both({"standard": plain, "flash": flash}[arm], [Batch.random(size, kind, device)])
    work(0)
    torch.cuda.synchronize()
    torch.cuda.profiler.start()
    work(0)
    torch.cuda.synchronize()
    torch.cuda.profiler.stop()


if __name__ == "__main__":
    _one_pass(*sys.argv[1:])
