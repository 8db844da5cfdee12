"""A recipe for two processes that add up their numbers, if the second does not fail as it is told to."""

import os
import signal

import torch
import torch.distributed as dist

from reproduce.recipes import toolbox


def run(context):
    context.progress(0.0, "adding")
    if context.rank == 1 and context["fate"] == "fill":
        torch.empty(2**60)
    if context.rank == 1 and context["fate"] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    ours = torch.full([1 << 16], context.rank + 1.0, device=context.device)
    context.probe()
    found = toolbox.compare(
        {"add": lambda call: dist.all_reduce(ours.clone())}, "add", toolbox.GLANCE, context.device
    )
    context.keep("adding", found)
    dist.all_reduce(ours)
    context.measure("total", float(ours[0]))
    context.progress(1.0, "done")
