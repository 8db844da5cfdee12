"""Caches as they are allocated: bytes for each token of DeepSeek 67B, and DeepSeek-V2 in 16 and 6 bits."""

from collections.abc import Callable

import torch

from reproduce.recipes.context import Context
from reproduce.recipes.memory import tensor_bytes
from reproduce.recipes.toolbox import release

from . import sixbits

OLD_LAYERS, GROUPS, HEADS, HEAD = 95, 8, 64, 128  # DeepSeek 67B; 64 heads if none were grouped
LAYERS, LATENT, ROTARY = 60, 512, 64  # DeepSeek-V2
Tensors = list[torch.Tensor]


def grouped(tokens: int, device: torch.device, layers: int = OLD_LAYERS, heads: int = GROUPS) -> Tensors:
    """Keys and values of DeepSeek 67B, bf16."""
    size = (tokens, heads, HEAD)
    return [torch.empty(size, dtype=torch.bfloat16, device=device) for _ in range(2 * layers)]


def latent(tokens: int, device: torch.device) -> Tensors:
    """The latent vector and the rotary part of the key of DeepSeek-V2, bf16."""
    size = (tokens, LATENT + ROTARY)
    return [torch.empty(size, dtype=torch.bfloat16, device=device) for _ in range(LAYERS)]


def latent_in_six_bits(tokens: int, device: torch.device) -> Tensors:
    """The same, quantised: packed codes and a scale for each token and layer."""
    kept: Tensors = []
    for _ in range(LAYERS):
        vectors = torch.randn(tokens, LATENT + ROTARY, dtype=torch.bfloat16, device=device)
        kept.extend(sixbits.quantised(vectors))
    return kept


def allocated(make: Callable[[], Tensors], device: torch.device) -> int:
    """Bytes that the allocator gives for what `make` keeps; on a CPU the bytes of the tensors."""
    if device.type != "cuda":
        return tensor_bytes(make())
    release(device)
    before = torch.cuda.memory_allocated(device)
    kept = make()
    found = torch.cuda.memory_allocated(device) - before
    del kept
    release(device)
    return found


def measure(context: Context) -> None:
    """Measures both savings and each cache's bytes for a token; charts a sequence's cache over contexts."""
    device, tokens = context.device, context["tokens"]
    found = {
        "mha": OLD_LAYERS * allocated(lambda: grouped(tokens, device, 1, HEADS), device) / tokens,
        "gqa": allocated(lambda: grouped(tokens, device), device) / tokens,
        "mla": allocated(lambda: latent(tokens, device), device) / tokens,
        "six_bits": allocated(lambda: latent_in_six_bits(tokens, device), device) / tokens,
    }
    vectors = torch.randn(min(tokens, 4096), LATENT + ROTARY, dtype=torch.bfloat16, device=device)
    ratio = sixbits.check(context, vectors)
    for name, value in found.items():
        context.measure(f"bytes_{name}", value)
    scales = 2 * LAYERS
    context.measure(
        "saving_deployed",
        1 - found["six_bits"] / found["gqa"],
        predicted=1 - (LATENT + ROTARY) * LAYERS * 6 / 8 / (2 * GROUPS * HEAD * OLD_LAYERS * 2),
        predicted_note="Counted without scales: 25 920 B against 389 120 B.",
        detail={
            "bytes_per_token": found,
            "of_which_scales": scales,
            "of_which_latent_attention": 1 - found["mla"] / found["gqa"],
            "of_what_is_left_six_bits": 1 - found["six_bits"] / found["mla"],
            "signal_to_noise_db": ratio,
        },
    )
    context.measure("saving_latent_alone", 1 - found["mla"] / found["gqa"])
    _chart(context, found)


def _chart(context: Context, found: dict[str, float]) -> None:
    labels = {
        "mha": "DeepSeek 67B with all heads, bf16",
        "gqa": "DeepSeek 67B, 8 groups, bf16",
        "mla": "DeepSeek-V2, latent, bf16",
        "six_bits": "DeepSeek-V2, latent, six bits",
    }
    contexts = [2**power for power in range(10, 18)]
    lines = [
        {"label": label, "x": contexts, "y": [found[name] * n / 1e9 for n in contexts]}
        for name, label in labels.items()
    ]
    claimed = [found["gqa"] * (1 - 0.933) * n / 1e9 for n in contexts]
    lines.append({"label": "claimed by the paper", "x": contexts, "y": claimed})
    title = "Key-value cache of one sequence, by the bytes allocated for a token"
    context.chart("cache", title, ("Context", "tokens", True), ("Cache", "GB", True), lines)
