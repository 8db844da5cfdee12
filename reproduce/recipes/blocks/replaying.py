"""CUDA graphs: work of many small kernels recorded once and replayed, so that launches cost nothing.

Without a GPU the work is simply done.
"""

from collections.abc import Callable

import torch

VERSION = 1
Work = Callable[[int], object]


def replayed(work: Callable[[], object], device: torch.device) -> Work:
    """Work for `toolbox.compare`. Tensors that `work` reads must stay where they are while it is used.

    `work` lives as long as what is returned, and with it the tensors that it holds: a graph knows only their
    addresses.
    """
    if device.type == "cpu":
        return lambda call: work()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # compiles, autotunes and makes workspaces, which a capture may not
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()

    def replay(call: int, *, kept: Callable[[], object] = work) -> None:
        graph.replay()

    return replay
