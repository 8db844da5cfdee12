"""PyTorch's own sharding of everything (FSDP2), which implements stage 3: bytes held between steps."""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from reproduce.recipes.context import Context
from reproduce.recipes.memory import tensor_bytes
from reproduce.recipes.toolbox import release, synchronise

from .model import SHAPES, batch, modules, size
from .zero import HALF, RATE


def count(context: Context) -> None:
    """Measures bytes_fsdp after two steps: by the allocator on a GPU, else of the tensors it holds."""
    shape, device = SHAPES[context["shape"]], context.device
    before = _allocated(device)
    net = _sharded(context)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, fused=True)
    tokens = batch(shape, context["batch"], device, seed=context.rank)
    for _ in range(2):
        optimizer.zero_grad()
        net[-1].targets = tokens[:, 1:]
        net(tokens[:, :-1]).backward()
        optimizer.step()
    del tokens
    release(device)
    inventory = tensor_bytes(_local(net, optimizer))
    held = torch.tensor(float(_allocated(device) - before or inventory), dtype=torch.float64, device=device)
    dist.all_reduce(held, dist.ReduceOp.MAX)
    context.measure(
        "bytes_fsdp",
        held.item() / size(shape),
        predicted=16 / context.world_size,
        predicted_note="By the paper's formula: fp32 parameters serve as master weights, gradients are fp32.",
        detail={"shape": context["shape"], "inventory_bytes": inventory},
    )


def _sharded(context: Context) -> nn.Sequential:
    net = nn.Sequential(*modules(SHAPES[context["shape"]], context.device, torch.float32))
    mesh = init_device_mesh(context.device.type, (context.world_size,))
    policy = MixedPrecisionPolicy(param_dtype=HALF, reduce_dtype=torch.float32)
    for module in net:
        fully_shard(module, mesh=mesh, mp_policy=policy)
    return fully_shard(net, mesh=mesh, mp_policy=policy)


def _local(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """This process's parts of parameters, gradients and moments."""
    whole = [tensor for p in net.parameters() for tensor in (p, p.grad, *optimizer.state[p].values())]
    tensors = [tensor for tensor in whole if isinstance(tensor, torch.Tensor)]
    return [tensor.to_local() if hasattr(tensor, "to_local") else tensor for tensor in tensors]


def _allocated(device: torch.device) -> int:
    synchronise(device)
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
