"""One GPU as NVML sees it: memory, utilisation, power, temperature, clocks, throttling, other processes.

Reads only, never sets. Every question may go unanswered (None): a container or a driver can refuse.
"""

from collections.abc import Callable
from typing import Any

import torch

try:
    import pynvml
except ImportError:  # the package nvidia-ml-py is optional: without it there is no trace and no energy
    pynvml = None

# Reasons that mean something else slowed this GPU down. The software power cap is the card's own
# normal limit under full load, so it is recorded, and not held against the measurement.
SLOWED = {
    "software thermal": 0x20,
    "hardware thermal": 0x40,
    "hardware slowdown": 0x08,
    "power brake": 0x80,
    "sync boost": 0x10,
}
POWER_CAP = 0x04
# What two GPUs have in common on the way to each other, nearest first, in NVML's numbers.
ANCESTORS = {
    0: "one board",
    10: "one PCIe switch",
    20: "several PCIe switches",
    30: "a host bridge",
    40: "a NUMA node",
    50: "the system",
}


class Gpu:
    """A handle on the GPU that torch calls `cuda:index`, whatever CUDA_VISIBLE_DEVICES hides."""

    def __init__(self, index: int = 0) -> None:
        if pynvml is None:
            raise GpuUnseen("the package nvidia-ml-py is not installed")
        try:
            pynvml.nvmlInit()
            uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        except pynvml.NVMLError as error:
            raise GpuUnseen(f"NVML refuses: {error}") from error
        self.index, self.uuid = index, uuid

    def ask(self, question: str, *arguments: Any) -> Any:
        """The answer of `nvmlDevice<question>`, or None if this GPU does not answer it."""
        function: Callable[..., Any] = getattr(pynvml, f"nvmlDevice{question}")
        try:
            return function(self._handle, *arguments)
        except pynvml.NVMLError:
            return None

    def now(self) -> dict[str, float | int | None]:
        """One point of the trace: MB used, % busy, W, degrees C, MHz."""
        memory, use = self.ask("GetMemoryInfo"), self.ask("GetUtilizationRates")
        power = self.ask("GetPowerUsage")
        return {
            "gpu": self.index,
            "memory_mb": None if memory is None else round(memory.used / 1e6, 1),
            "utilisation": None if use is None else use.gpu,
            "power_w": None if power is None else power / 1000,
            "temperature_c": self.ask("GetTemperature", pynvml.NVML_TEMPERATURE_GPU),
            "sm_clock_mhz": self.ask("GetClockInfo", pynvml.NVML_CLOCK_SM),
        }

    def taken_mb(self) -> float | None:
        """MB that processes hold, without what the driver keeps for itself."""
        memory = self.ask("GetMemoryInfo", pynvml.nvmlMemory_v2)
        return None if memory is None else round(memory.used / 1e6, 1)

    def nvlinks(self) -> int:
        """How many of its NVLinks are up."""
        return sum(self.ask("GetNvLinkState", link) == 1 for link in range(pynvml.NVML_NVLINK_MAX_LINKS))

    def path_to(self, other: "Gpu") -> dict[str, Any]:
        """How near another GPU is, and whether NVLink leads there."""
        near = self.ask("GetTopologyCommonAncestor", other._handle)
        linked = self.ask("GetP2PStatus", other._handle, pynvml.NVML_P2P_CAPS_INDEX_NVLINK)
        return {
            "gpus": [self.index, other.index],
            "common_ancestor": ANCESTORS.get(near),
            "nvlink": None if linked is None else linked == pynvml.NVML_P2P_STATUS_OK,
        }

    def millijoules(self) -> int | None:
        """The counter of energy since the driver was loaded."""
        return self.ask("GetTotalEnergyConsumption")

    def slowed(self) -> int | None:
        """The bit mask of the reasons why the clocks are not at their highest."""
        return self.ask("GetCurrentClocksThrottleReasons")

    def processes(self) -> int | None:
        """How many processes compute on this GPU, ours included once it has begun to."""
        running = self.ask("GetComputeRunningProcesses")
        return None if running is None else len(running)


class GpuUnseen(Exception):
    """NVML cannot be used here; the message says why."""


def slowed_by(mask: int) -> list[str]:
    """The names of the reasons in a mask that make a timing doubtful."""
    return [name for name, bit in SLOWED.items() if mask & bit]
