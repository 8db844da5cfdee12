"""How every mixer is taught, after the authors' published configuration: epochs, dropout and weight decay."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from reproduce.recipes.blocks import tasks
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.tasks import Task

POOL = 5000  # examples that each seed learns from
DROPPED = 0.1  # share of what the embedding gives, zeroed while learning
DECAY = 0.1
SPARED = ("log_step", "log_decay", "frequency")  # what makes a state's dynamics does not decay
LEARNING = 3  # seed of the examples to learn from


class Dropped(nn.Module):
    """An embedding of whose numbers a share is zeroed, and the rest enlarged, where gradients are wanted."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        found = self.embedding(ids)
        if not torch.is_grad_enabled():
            return found
        return found * (torch.rand_like(found) >= DROPPED) / (1 - DROPPED)


class Decaying(torch.optim.AdamW):
    """AdamW for the one tensor of `blocks.seeds`, whose columns decay each at its own pace."""

    def __init__(self, parameters: Sequence[nn.Parameter], plan: Plan, paces: torch.Tensor) -> None:
        on_gpu = parameters[0].is_cuda
        rate = torch.tensor(plan.rate, device=parameters[0].device) if on_gpu else plan.rate
        how = {"capturable": True, "fused": True} if on_gpu else {}
        super().__init__(parameters, lr=rate, betas=plan.betas, weight_decay=0.0, **how)
        self.paces = paces

    def step(self, closure: None = None) -> None:
        """One update; before it each number shrinks by its pace times the rate."""
        with torch.no_grad():
            for group in self.param_groups:
                for numbers in group["params"]:
                    numbers.mul_(1 - self.paces * group["lr"])
        super().step(closure)


def paces(model: nn.Module, device: torch.device) -> torch.Tensor:
    """(numbers,): how fast each number of the model decays, in the order of `blocks.seeds`."""
    return torch.cat(
        [
            torch.full((p.numel(),), 0.0 if name.endswith(SPARED) else DECAY, device=device)
            for name, p in model.named_parameters()
        ]
    )


def pool_of(problem: Task, seeds: int, device: torch.device) -> torch.Tensor:
    """(2, seeds, POOL, length) ids and the token that follows at every place, at the last one the answer."""
    ids, asked = tasks.held_out(problem, seeds * POOL, device, LEARNING).unflatten(1, (seeds, -1))
    return torch.stack((ids, torch.cat((ids[..., 1:], asked[..., -1:]), dim=-1)))


def epochs(pool: torch.Tensor, count: int) -> Callable[[int, torch.Generator], torch.Tensor]:
    """Batches (2, seeds, count, length) for `learning.train`: each epoch in a new order for each seed.

    What does not fill a batch at the end of an epoch is left out. The order is drawn on the device.
    """
    seeds, size = pool.shape[1:3]
    source, shuffled = torch.Generator(pool.device), []
    rows = torch.arange(seeds, device=pool.device)[:, None]

    def draw(step: int, generator: torch.Generator) -> torch.Tensor:
        at = step % (size // count)
        if at == 0:
            source.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            order = torch.rand(seeds, size, generator=source, device=pool.device).argsort(dim=1)
            shuffled[:] = [pool[:, rows, order]]
        return shuffled[0][:, :, at * count : (at + 1) * count]

    return draw
