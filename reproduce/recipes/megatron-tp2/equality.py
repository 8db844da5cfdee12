"""Correctness first: output and gradients of the split stack must be those of the whole one."""

import torch
import torch.distributed as dist

from reproduce.recipes.context import Context

from . import split

LIMIT = 1e-6
SHAPE, BATCH, LENGTH = split.Shape(layers=2, width=64, heads=4), 2, 16
SPLIT = {"query": 0, "key": 0, "value": 0, "out": 1, "up": 0, "down": 1}  # dimension that is divided


def check(context: Context) -> None:
    """Guards output, the input's gradient and all weights' gradients, in fp64, over all processes."""
    ways = split.Ways(context.world_size, context.rank)
    found, exact = _results(context, ways), _results(context, split.Ways())
    apart = {"output": _distance(found["output"], exact["output"]), "input_gradient": torch.zeros(())}
    apart["input_gradient"] = _distance(found["input"], exact["input"])
    gradients = []
    for name, gradient in exact["weights"].items():
        dimension = SPLIT.get(name.split(".")[-1])
        mine = gradient if dimension is None else gradient.chunk(ways.size, dimension)[ways.rank]
        gradients.append(_distance(found["weights"][name], mine))
    apart["weight_gradients"] = torch.stack(gradients).max()
    for name, distance in apart.items():
        dist.all_reduce(distance, dist.ReduceOp.MAX)
        context.guard(
            f"same_{name}",
            distance.item(),
            LIMIT,
            "Relative distance to the whole stack with the same weights, fp64.",
        )


def _distance(found: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    return ((found - exact).norm() / exact.norm()).nan_to_num(nan=1e9, posinf=1e9)


def _results(context: Context, ways: split.Ways) -> dict[str, object]:
    stack = split.stack(SHAPE, ways, context.device, torch.float64)
    x, arriving = split.data(SHAPE, BATCH, LENGTH, context.device, torch.float64)
    x.requires_grad_()
    out = stack(x)
    out.backward(arriving)
    weights = {name: weight.grad for name, weight in stack.named_parameters()}
    return {"output": out.detach(), "input": x.grad, "weights": weights}
