"""A small byte model learns with linear attention, and the same one with softmax, over seeds."""

from functools import partial

import torch
from torch import nn

from reproduce.recipes.blocks.gap import measure_gap
from reproduce.recipes.blocks.tinygpt import Attention, Shape, TinyGPT
from reproduce.recipes.context import Context

from . import forms


def linear(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: None = None) -> torch.Tensor:
    """Linear attention in place of softmax attention, in fp32 for the norm's sake."""
    with torch.autocast(q.device.type, enabled=False):
        return forms.quadratic(q.float(), k.float(), v.float()).to(v.dtype)


def linear_mixer(shape: Shape, layer: int) -> nn.Module:
    """TinyGPT's attention with another way of attending."""
    mixer = Attention(shape, layer)
    mixer.attend = linear
    return mixer


MIXERS = {"softmax attention": Attention, "linear attention": linear_mixer}


def measure(context: Context) -> None:
    """Measures quality_gap: linear attention's validation loss less softmax attention's, in nats a byte."""
    width, count = (256, 32) if context.full else (32, 8)
    layers, length = 4 if context.full else 1, min(256, width)
    shape = Shape(layers, width, max(1, width // 64), length, positions="learned")
    build = {arm: partial(_build, shape, mixer) for arm, mixer in MIXERS.items()}
    measure_gap(context, build, context["learn_steps"], count, 0.75)


def _build(shape: Shape, mixer: object, seed: int) -> TinyGPT:
    return TinyGPT(shape, mixer, seed=seed)
