"""A feed-forward layer of which each token sees one expert (top-1 routing), with a limit on the load.

Source: arXiv:2101.03961, sections 2.1 and 2.2. Shapes: T tokens of width w, E experts with room for C each.
"""

import math
from collections.abc import Callable, Iterator
from itertools import count

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks.tinygpt import FeedForward, Shape, TinyGPT

CAPACITY = 1.25  # the paper's capacity factor in training
BALANCE = 0.01  # weight of the balancing loss, the paper's alpha


class Switch(nn.Module):
    """Experts as two batched matrix products over (E, C, w); tokens beyond an expert's room pass unchanged.

    After each forward pass `balance` is the balancing loss, and `load` (E,) and `dropped` count tokens.
    """

    def __init__(self, shape: Shape, experts: int, capacity: float = CAPACITY) -> None:
        super().__init__()
        self.experts, self.capacity = experts, capacity
        hidden = shape.hidden or 4 * shape.width
        self.router = nn.Linear(shape.width, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, shape.width, hidden) * 0.02)
        self.down = nn.Parameter(
            torch.randn(experts, hidden, shape.width) * (0.02 / math.sqrt(2 * shape.layers))
        )
        self.balance = self.load = self.dropped = torch.zeros(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n, w) to the same."""
        tokens = x.flatten(0, 1)
        with torch.autocast(
            x.device.type, enabled=False
        ):  # the paper's selective precision: the router in fp32
            chances = functional.linear(tokens.float(), self.router.weight.float()).softmax(-1)
        gate, chosen = chances.max(-1)
        onehot = (chosen[:, None] == torch.arange(self.experts, device=x.device)).long()
        place = (onehot.cumsum(0) * onehot).sum(-1) - 1  # how many of the same expert came before
        room = self.room(len(tokens))
        slot = torch.where(place < room, chosen * room + place, self.experts * room)  # the last row: dropped
        self._count(chances, onehot, place >= room)
        inputs = tokens.new_zeros(self.experts * room + 1, tokens.shape[1]).index_copy(0, slot, tokens)
        hidden = functional.gelu(inputs[:-1].unflatten(0, (self.experts, room)) @ self.up)
        outputs = (hidden @ self.down).flatten(0, 1)
        outputs = torch.cat((outputs, outputs.new_zeros(1, outputs.shape[1])))
        return (outputs[slot] * gate[:, None].to(outputs.dtype)).view(x.shape)

    def room(self, tokens: int) -> int:
        """C, in whole tokens; a single expert takes all."""
        return min(tokens, math.ceil(self.capacity * tokens / self.experts))

    def _count(self, chances: torch.Tensor, onehot: torch.Tensor, dropped: torch.Tensor) -> None:
        self.load, self.dropped = onehot.sum(0).detach(), dropped.sum().detach()
        share = onehot.float().mean(0)
        self.balance = self.experts * (share * chances.mean(0)).sum()


def feed_forward(experts: int, capacity: float = CAPACITY) -> Callable[[Shape], nn.Module]:
    """For TinyGPT: every other layer a Switch layer, from the second on; all dense for no experts."""
    layer = count()

    def build(shape: Shape) -> nn.Module:
        return Switch(shape, experts, capacity) if experts and next(layer) % 2 else FeedForward(shape)

    return build


def switches(model: nn.Module) -> Iterator[Switch]:
    """The Switch layers of a model."""
    return (part for part in model.modules() if isinstance(part, Switch))


def training_loss(model: TinyGPT, batch: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus the balancing loss of every Switch layer."""
    loss = model.loss(batch)
    return loss + BALANCE * sum(layer.balance for layer in switches(model))
