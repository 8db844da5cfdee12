"""Training steps at the same length: retention in chunks against attention, written out and fused.

Layers of the paper's 1.3B shape, half precision with fp32 weights and AdamW; no embedding, no output layer.
"""

from functools import partial

import torch
from torch import nn
from torch.nn import functional

from reproduce.recipes.blocks.decodestack import normed
from reproduce.recipes.context import Context
from reproduce.recipes.memory import peak_bytes
from reproduce.recipes.toolbox import STEP, Work, compare, profile, release

from . import retention

CHUNK = 512  # the paper's
LAYERS = (2, 3, 4)  # that memory is measured at, to extrapolate
WHOLE = 24
HEAD, KEY = 128, 256
STATE_BYTES = 16  # a weight: itself, its gradient, two moments, fp32
LINEAR = 0.02


class Mixer(nn.Module):
    """Attention or retention of (batch, n, width)."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.kind, self.width = kind, width
        retained = kind == "retention"
        self.enter = nn.Linear(width, (6 if retained else 3) * width, bias=False)
        self.out = nn.Linear((2 if retained else 1) * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == "retention":
            return self._retain(x)
        q, k, v = self.enter(x).unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        mixed = written_out(q, k, v) if self.kind == "written out" else fused(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _retain(self, x: torch.Tensor) -> torch.Tensor:
        width, heads = self.width, self.width // KEY
        q, k, v, gate = self.enter(x).split((width, width, 2 * width, 2 * width), dim=-1)
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2).contiguous() for part in (q, k, v))
        decay = retention.decays(heads, x.device)
        mixed = retention.chunkwise(q, k, v, decay, min(CHUNK, x.shape[1]))
        return self.out(functional.silu(gate) * normed(mixed.transpose(1, 2)).flatten(2).to(gate.dtype))


class Model(nn.Module):
    """Layers with residuals; the feed-forward is 4 widths for attention, 2 for retention: 12 d^2 in all."""

    def __init__(self, layers: int, width: int, kind: str) -> None:
        super().__init__()
        hidden = (2 if kind == "retention" else 4) * width
        self.mixers = nn.ModuleList(Mixer(width, kind) for _ in range(layers))
        self.ups = nn.ModuleList(nn.Linear(width, hidden, bias=False) for _ in range(layers))
        self.downs = nn.ModuleList(nn.Linear(hidden, width, bias=False) for _ in range(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for mixer, up, down in zip(self.mixers, self.ups, self.downs, strict=True):
            x = x + mixer(normed(x))
            x = x + down(functional.gelu(up(normed(x))))
        return x


def written_out(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal attention operation by operation; the n x n matrix stays in half precision."""
    with torch.autocast(q.device.type, enabled=False):
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        unseen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        return torch.softmax(scores.masked_fill_(unseen, float("-inf")), dim=-1) @ v


def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal attention by PyTorch's fused kernel."""
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)


ARMS = ("written out", "fused", "retention")


def measure(context: Context) -> None:
    """Measures training_speedup, training_speedup_fused and training_memory_saving."""
    device = context.device
    works = {kind: _step(context, kind, LAYERS[-1]) for kind in ARMS}
    how = profile(context.preset, STEP, warm_up_calls=3, min_s=1.0, max_s=4.0, calls=1)
    found = compare(works, "written out", how, device)
    context.keep("training", found)
    for name, baseline in (("training_speedup", "written out"), ("training_speedup_fused", "fused")):
        context.measure(
            name,
            found.speedup("retention", baseline),
            noise=found.noise(),
            detail={
                "baseline": baseline,
                "candidate": "retention",
                "arms": found.figures(),
                "layers": LAYERS[-1],
            },
        )
    works.clear()
    release(device)
    context.progress(0.9, "memory of training")
    held = {kind: [_peak(context, kind, layers) for layers in LAYERS] for kind in ARMS}
    whole = {kind: _extrapolated(peaks) for kind, peaks in held.items()}
    context.measure(
        "training_memory_saving",
        1 - whole["retention"] / whole["written out"],
        detail={"bytes_at_24_layers": whole, "bytes_at_layers": held, "layers": list(LAYERS)},
    )
    bent = max(abs(2 * two - one - three) / two for one, two, three in held.values())
    context.guard(
        "memory_is_linear_in_layers",
        bent,
        LINEAR,
        f"How far the memory at {LAYERS[1]} layers is from the middle of its neighbours, relative.",
    )


def _extrapolated(peaks: list[int]) -> float:
    """Bytes of all 24 layers, by the line through the first and the last measurement."""
    rise = (peaks[-1] - peaks[0]) / (LAYERS[-1] - LAYERS[0])
    return peaks[-1] + rise * (WHOLE - LAYERS[-1])


def _step(context: Context, kind: str, layers: int) -> Work:
    """Forward, backward and AdamW of one sequence."""
    device = context.device
    model = Model(layers, context["train_width"], kind).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    x = torch.randn(1, context["context"], context["train_width"], device=device)
    half = partial(torch.autocast, device.type, torch.bfloat16, enabled=device.type == "cuda")

    def step(call: int) -> None:
        with half():
            out = model(x)
        out.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _peak(context: Context, kind: str, layers: int) -> int:
    """Bytes at once in a step, weights and optimizer state counted; gradients live inside the step."""
    step = _step(context, kind, layers)
    extra = peak_bytes(lambda: step(0), context.device)
    release(context.device)
    return extra + 12 * context["train_width"] ** 2 * layers * (STATE_BYTES - 4)
