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
BALANCE = 0.1  # of the balancing loss; by the paper's rule, not its 0.01: 3 bytes of code in 10 are spaces
ROUTER = 0.1  # the paper's reduced initialisation
EMBEDDING = 0.2
JITTER = 0.01  # noise on what the router sees in training, a factor; the paper's appendix on exploration


class Switch(nn.Module):
    """Experts as two batched matrix products over (E, C, w); tokens beyond an expert's room pass unchanged.

    After each forward pass `balance` is the balancing loss, and `load` (E,) and `dropped` count tokens.
    """

    def __init__(self, shape: Shape, experts: int, capacity: float = CAPACITY) -> None:
        super().__init__()
        self.experts, self.capacity = experts, capacity
        hidden = shape.hidden or 4 * shape.width
        self.router = nn.Linear(shape.width, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, shape.width, hidden))
        self.down = nn.Parameter(torch.randn(experts, hidden, shape.width))
        self.balance = self.load = self.dropped = torch.zeros(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n, w) to the same."""
        tokens = x.flatten(0, 1)
        chances, gate, chosen = self._route(tokens)
        mine = chosen == torch.arange(self.experts, device=x.device)[:, None]  # (E, T), to count along memory
        place = mine.cumsum(1, dtype=torch.int32).gather(0, chosen[None])[0] - 1  # earlier ones of the same
        room = self.room(len(tokens))
        slot = torch.where(place < room, chosen * room + place, self.experts * room)  # the last row: dropped
        self._count(chances, mine, place >= room)
        if torch.is_autocast_enabled(x.device.type):
            tokens = tokens.to(torch.get_autocast_dtype(x.device.type))
        inputs = tokens.new_zeros(self.experts * room + 1, tokens.shape[1]).index_copy(0, slot, tokens)
        hidden = functional.gelu(inputs[:-1].unflatten(0, (self.experts, room)) @ self.up)
        outputs = (hidden @ self.down).flatten(0, 1)
        outputs = torch.cat((outputs, outputs.new_zeros(1, outputs.shape[1])))
        return (outputs.index_select(0, slot) * gate[:, None].to(outputs.dtype)).view(x.shape)

    def room(self, tokens: int) -> int:
        """C, in whole tokens; a single expert takes all."""
        return min(tokens, math.ceil(self.capacity * tokens / self.experts))

    def _route(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(T, E) chances, (T,) the greatest of each, and whose: in fp32, the paper's selective precision."""
        with torch.autocast(tokens.device.type, enabled=False):
            seen = tokens.float()
            if self.training:
                seen = seen * torch.empty_like(seen).uniform_(1 - JITTER, 1 + JITTER)
            chances = functional.linear(seen, self.router.weight.float()).softmax(-1)
        return (chances, *chances.max(-1))

    def _count(self, chances: torch.Tensor, mine: torch.Tensor, dropped: torch.Tensor) -> None:
        self.load, self.dropped = mine.sum(1).detach(), dropped.sum().detach()
        self.balance = self.experts * (mine.float().mean(1) * chances.mean(0)).sum()


def made(shape: Shape, experts: int, seed: int) -> TinyGPT:
    """A TinyGPT with experts in every other layer (0: dense), every matrix started by its inputs.

    One over the root of the inputs, less for what writes into the residual stream; the router at the
    paper's truncated normal of variance 0.1 over the inputs.
    """
    model = TinyGPT(shape, feed_forward=feed_forward(experts), seed=seed)
    generator = torch.Generator(model.embedding.weight.device).manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "router" in name:
                spread = math.sqrt(ROUTER / shape.width)
                nn.init.trunc_normal_(weight, 0, spread, -2 * spread, 2 * spread, generator)
            elif "embedding" in name:
                weight.normal_(std=EMBEDDING, generator=generator)
            elif weight.dim() > 1:
                writes = name.endswith(("out.weight", "down.weight", "down"))
                inputs = weight.shape[1] * (2 * shape.layers if writes else 1)
                weight.normal_(std=inputs**-0.5, generator=generator)
    return model


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
