"""End to end: a training step of GPT-2 medium with standard and with fused attention, all else equal."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.context import Context
from reproduce.recipes.memory import moved_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, compare, profile

from .attention import Attend, Batch, both, causal_mask, flop, fused, kernels, standard

DROPOUT = 0.1
LOSS_LIMIT = 2e-3
OPTIMIZER_BYTES = 28  # read and written for each fp32 parameter: weight, gradient, two moments


class Block(nn.Module):
    """A layer of GPT-2; how it attends is set from outside, (batch, heads, n, d) tensors to the same."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.attend = heads, None
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, n, width) to the same."""
        batch, length, width = x.shape
        parts = self.qkv(self.before_attention(x)).view(batch, length, 3, self.heads, -1)
        mixed = self.attend(*parts.permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(batch, length, width)
        x = x + self.dropout(self.out(mixed))
        hidden = functional.gelu(self.up(self.before_mlp(x)), approximate="tanh")
        return x + self.dropout(self.down(hidden))


class Gpt2(nn.Module):
    """GPT-2 with tied embeddings."""

    def __init__(
        self, layers: int, width: int, heads: int, vocabulary: int, length: int, dropout: float
    ) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, n + 1) token ids to the mean loss of predicting each next one, in nats."""
        given, wanted = tokens[:, :-1], tokens[:, 1:]
        x = self.dropout(self.tokens(given) + self.places.weight[: given.shape[1]])
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten())

    def attend_with(self, attend: Attend) -> None:
        """Sets how every layer attends."""
        for block in self.blocks:
            block.attend = attend


def measure(context: Context, ceilings: Probe) -> None:
    """Measures training_speedup with profile T2; guards that both arms compute the same loss."""
    dropout = _dropout(context)
    width, length = context["heads"] * context["head_dim"], context["length"]
    model = Gpt2(context["layers"], width, context["heads"], context["vocabulary"], length, dropout).to(
        context.device
    )
    size = (context["train_batch"], length + 1)
    batches = [torch.randint(context["vocabulary"], size, device=context.device) for _ in range(2)]
    _guard_loss(context, model, batches[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    works = {
        name: _step(context, model, optimizer, attend, batches)
        for name, attend in _arms(context, dropout).items()
    }
    found = compare(works, "standard", profile(context.preset, STEP), context.device)
    context.keep("training", found)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    predicted, note = _prediction(context, ceilings, parameters)
    context.measure(
        "training_speedup",
        found.speedup("flash"),
        predicted=predicted,
        predicted_note=note,
        noise=found.noise(),
        detail={"parameters": parameters, "batch": size[0], "length": length, "arms": found.figures()},
    )


def _arms(context: Context, dropout: float) -> dict[str, Attend]:
    mask = causal_mask(context["length"], _autocast_dtype(context), context.device)
    flash = fused(kernels(context.device)["flash"], dropout, causal=True)
    return {"standard": standard(dropout, mask), "flash": flash}


def _step(
    context: Context,
    model: Gpt2,
    optimizer: torch.optim.Optimizer,
    attend: Attend,
    batches: list[torch.Tensor],
) -> Callable[[int], None]:
    def step(call: int) -> None:
        model.attend_with(attend)
        with _autocast(context):
            loss = model(batches[call % len(batches)])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _guard_loss(context: Context, model: Gpt2, tokens: torch.Tensor) -> None:
    model.eval()
    losses = []
    for attend in _arms(context, 0.0).values():
        model.attend_with(attend)
        with torch.no_grad(), _autocast(context):
            losses.append(model(tokens).item())
    model.train()
    context.guard(
        "same_training_loss",
        abs(losses[1] - losses[0]) / losses[0],
        LOSS_LIMIT,
        f"Relative difference of the loss without dropout: {losses[0]:.5f} standard, {losses[1]:.5f} fused.",
    )


def _prediction(context: Context, ceilings: Probe, parameters: int) -> tuple[float, str]:
    """Least time of the dense layers, plus least time of attention with and without its n x n traffic."""
    shape = (context["train_batch"], context["heads"], context["length"], context["head_dim"])
    batch = Batch.random(shape, _autocast_dtype(context), context.device)
    slow_work = both(_arms(context, _dropout(context))["standard"], [batch])
    moved, layers = moved_bytes(lambda: slow_work(0)), context["layers"]
    dense = ceilings.least_time(6 * parameters * shape[0] * shape[2])
    dense += ceilings.least_time(moved=OPTIMIZER_BYTES * parameters)
    slow = layers * ceilings.least_time(flop(*shape), moved)
    fast = layers * ceilings.least_time(flop(*shape) / 2)
    return (dense + slow) / (dense + fast), (
        f"Least time of dense layers and optimizer {dense * 1e3:.3g} ms, of attention {slow * 1e3:.3g} ms "
        f"standard ({moved / 1e9:.3g} GB a layer), {fast * 1e3:.3g} ms fused and causal; norms not counted."
    )


def _dropout(context: Context) -> float:
    return DROPOUT if context.device.type == "cuda" else 0.0


def _autocast(context: Context) -> Any:
    return torch.autocast("cuda", torch.bfloat16, enabled=context.device.type == "cuda")


def _autocast_dtype(context: Context) -> torch.dtype:
    return torch.bfloat16 if context.device.type == "cuda" else torch.float32
