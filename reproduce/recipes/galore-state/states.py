"""Bytes of optimizer states at the paper's five shapes, counted from tensors on the meta device."""

import torch

from reproduce.recipes.context import Context, level
from reproduce.recipes.memory import tensor_bytes

from . import galore, llama

ARMS = ("adamw", "galore", "galore 8-bit")
CLAIMED = 0.655


def count(context: Context) -> None:
    """Measures state_saving and state_saving_8bit at the largest shape; charts all."""
    names = list(llama.SHAPES)[1:] if context.full else list(llama.SHAPES)[:3]
    found = {name: {arm: held(name, arm) for arm in ARMS} for name in names}
    largest = found[names[-1]]
    for measure, arm in (("state_saving", "galore"), ("state_saving_8bit", "galore 8-bit")):
        context.measure(
            measure,
            1 - largest[arm] / largest["adamw"],
            predicted=1 - _formula(names[-1], eight_bit=arm != "galore") / _formula(names[-1], rank=None),
            predicted_note="Projection m r and two moments n r of each m x n matrix, m <= n; others whole.",
            detail={"shape": names[-1], "rank": llama.RANKS[names[-1]], "bytes": found},
        )
    sizes = [sum(p.numel() for p in _model(name).parameters()) for name in names]
    context.chart(
        "saving_by_size",
        "Optimizer states saved against AdamW with states in bf16",
        ("Parameters", "", True),
        ("Saved", "fraction", False),
        [
            {"label": arm, "x": sizes, "y": [1 - found[n][arm] / found[n]["adamw"] for n in names]}
            for arm in ARMS[1:]
        ]
        + [level("claimed by the paper", sizes, CLAIMED)],
    )


def held(name: str, arm: str, model: torch.nn.Module | None = None) -> int:
    """Bytes of the states that the optimizer holds after a step."""
    model = model or _model(name)
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer = optimizer_of(model, name, arm)
    optimizer.step()
    return tensor_bytes(galore.kept(optimizer))


def optimizer_of(model: torch.nn.Module, name: str, arm: str) -> torch.optim.Optimizer:
    """AdamW in the parameters' format, or GaLore with the rank of that shape."""
    if arm == "adamw":
        on_gpu = next(model.parameters()).is_cuda
        return torch.optim.AdamW(model.parameters(), lr=1e-5, fused=on_gpu)
    groups = galore.groups_of(model.named_parameters(), llama.RANKS[name])
    return galore.GaLore(groups, lr=1e-5, eight_bit=arm == "galore 8-bit", basis=galore.sketched)


def _model(name: str) -> torch.nn.Module:
    return llama.build(name, torch.device("meta"))


def _formula(name: str, rank: int | None = 0, eight_bit: bool = False) -> float:
    """Bytes by arithmetic; `rank` None for AdamW."""
    total, moment = 0.0, 1 if eight_bit else 2
    for parameter_name, parameter in _model(name).named_parameters():
        inner = rank is not None and (".mixer." in parameter_name or ".feed_forward." in parameter_name)
        if not inner:
            total += 2 * parameter.numel() * moment
        else:
            m, n = sorted(parameter.shape)
            total += llama.RANKS[name] * (2 * m + 2 * n * moment)
    return total
