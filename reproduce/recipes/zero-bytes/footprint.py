"""Bytes that each process holds between steps, and sends in a step, by stage; counted as allocated."""

import torch
import torch.distributed as dist

from reproduce.recipes.blocks.tinygpt import Shape
from reproduce.recipes.context import Context, level
from reproduce.recipes.memory import LiveBytes, tensor_bytes
from reproduce.recipes.toolbox import release, synchronise

from .model import SHAPES, batch, modules, size
from .wire import Wire, groups_of_one
from .zero import HALF, Trainer

STAGES = (0, 1, 2, 3)
CLAIMED = 8.0  # stage 3 on two devices
TOLERANCE = 0.01
DEVICES = (1, 2, 4, 8, 16, 32, 64)


def formula(stage: int, devices: int) -> float:
    """Bytes a parameter. Source: arXiv:1910.02054, Figure 1, with K = 12."""
    split, whole = ((0, 16), (12, 4), (14, 2), (16, 0))[stage]
    return whole + split / devices


def stages(context: Context) -> None:
    """Measures bytes_stage0 to bytes_stage3 and comm_ratio; charts bytes by number of devices."""
    world, alone = dist.group.WORLD, groups_of_one()
    found, sent, single = {}, {}, {}
    for stage in STAGES:
        context.progress(0.15 + 0.1 * stage, f"stage {stage}")
        single[stage], _ = _held(context, SHAPES["tiny"], stage, Wire(alone))
        found[stage], sent[stage] = _held(context, SHAPES[context["shape"]], stage, Wire(world), guarded=True)
        _measure(context, f"bytes_stage{stage}", found[stage], stage, context["shape"])
    context.measure(
        "comm_ratio",
        sent[3] / sent[0],
        predicted=1.5,
        predicted_note="A reduce-scatter and two all-gathers against an all-reduce, on a ring.",
        detail={"bytes_sent_a_step": {f"stage {stage}": count for stage, count in sent.items()}},
    )
    _chart(context, single, found)


def largest(context: Context) -> None:
    """Measures bytes_largest: stage 3 for a model that plain data parallelism could not hold on one GPU."""
    context.progress(0.7, f"stage 3 of {context['largest']}")
    held, _ = _held(context, SHAPES[context["largest"]], 3, Wire(dist.group.WORLD))
    _measure(context, "bytes_largest", held, 3, context["largest"])


def _measure(context: Context, name: str, held: float, stage: int, shape: str) -> None:
    context.measure(
        name,
        held,
        predicted=formula(stage, context.world_size),
        predicted_note="By the paper's formula at this number of devices.",
        detail={"shape": shape, "parameters": size(SHAPES[shape]), "devices": context.world_size},
    )


def _held(
    context: Context, shape: Shape, stage: int, wire: Wire, guarded: bool = False
) -> tuple[float, float]:
    """Bytes a parameter that the fullest process holds after two steps, and bytes it sends in the second."""
    release(context.device)
    tokens = batch(shape, context["batch"], context.device, seed=context.rank)
    with Allocated(context.device) as allocated:
        trainer = Trainer(modules(shape, context.device, HALF), wire, stage)
        trainer.step(tokens)
        before = wire.sent
        trainer.step(tokens)
        held = allocated.now()
    if guarded:
        inventory = tensor_bytes(trainer.held())
        context.guard(
            f"inventory_stage_{stage}",
            abs(held - inventory) / inventory,
            TOLERANCE,
            f"The allocator holds {held} bytes, the tensors listed by the trainer {inventory}.",
        )
    most = torch.tensor(float(held), dtype=torch.float64, device=context.device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return most.item() / size(shape), wire.sent - before


class Allocated:
    """Bytes allocated since it was entered and still held; by the GPU's allocator, or as tensors live."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._before = device, 0
        self._live = LiveBytes() if device.type == "cpu" else None

    def __enter__(self) -> "Allocated":
        if self._live:
            self._live.__enter__()
        else:
            self._before = self._allocated()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.__exit__(*error)

    def now(self) -> int:
        """Bytes."""
        return self._live.now if self._live else self._allocated() - self._before

    def _allocated(self) -> int:
        synchronise(self._device)
        return torch.cuda.memory_allocated(self._device)


def _chart(context: Context, single: dict[int, float], found: dict[int, float]) -> None:
    measured = [
        {
            "label": f"stage {stage}, measured",
            "x": [1, context.world_size],
            "y": [single[stage], found[stage]],
        }
        for stage in STAGES
    ]
    expected = [
        {"label": f"stage {stage}, formula", "x": list(DEVICES), "y": [formula(stage, n) for n in DEVICES]}
        for stage in STAGES[1:]
    ]
    context.chart(
        "bytes_by_devices",
        "Bytes of model state that a process holds for each parameter",
        ("Devices", "", True),
        ("Model state", "B a parameter", True),
        [*measured, *expected, level("claimed by the paper", DEVICES[:2], CLAIMED)],
    )
