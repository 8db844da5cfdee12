"""A recipe that takes memory of its device, keeps it for a while, and measures next to nothing."""

import time

import torch


def run(context):
    held = torch.ones([context["megabytes"], 2**18], device=context.device)
    steps = 10 * context["seconds"]
    for step in range(steps):
        context.progress(step / steps, "holding")
        time.sleep(0.1)
    context.measure("total", float(held.mean()))
