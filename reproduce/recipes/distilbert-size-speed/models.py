"""The four encoders: their parameters, random weights for them, and that DistilBERT is half of BERT."""

from dataclasses import replace

import torch

from reproduce.recipes.blocks import counting
from reproduce.recipes.blocks.zoo import ENCODERS, Encoder, EncoderShape, materialise
from reproduce.recipes.context import Context

NAMES = ("bert-base", "distilbert", "minilm-6x768", "minilm-6x384")
EIGHTH, FEW_WORDS = 8, 1000
LIMIT = 1e-4
Built = dict[str, Encoder]


def count(context: Context) -> None:
    """Measures size: parameters of the published shapes, whatever is timed."""
    counts = {
        name: counting.parameters(counting.on_meta(lambda n=name: Encoder(ENCODERS[n]))) for name in NAMES
    }
    context.measure("size", counts["distilbert"] / counts["bert-base"], detail={"parameters": counts})


def build(size: str, device: torch.device) -> Built:
    """Each encoder in fp32 with random weights, as published or with an eighth of the widths."""
    shapes = {name: ENCODERS[name] if size == "published" else _eighth(ENCODERS[name]) for name in NAMES}
    return {
        name: materialise(lambda s=shape: Encoder(s), device, torch.float32).eval().requires_grad_(False)
        for name, shape in shapes.items()
    }


def _eighth(shape: EncoderShape) -> EncoderShape:
    return replace(shape, width=shape.width // EIGHTH, hidden=shape.hidden // EIGHTH, vocabulary=FEW_WORDS)


@torch.inference_mode()
def check(context: Context, built: Built) -> None:
    """Guards that DistilBERT with every second layer of BERT is BERT without the others, in 64 bits."""
    tokens = torch.randint(built["bert-base"].shape.vocabulary, (1, 24))
    expected = _without_odd_layers(built["bert-base"].state_dict(), tokens, built["bert-base"].shape)
    student = Encoder(built["distilbert"].shape)
    student.load_state_dict(_taught(built["bert-base"].state_dict()))
    difference = (student(tokens).double() - expected).norm() / expected.norm()
    context.guard(
        "half_of_bert",
        difference.item(),
        LIMIT,
        "Relative difference of features: DistilBERT in fp32 with layers 0, 2, 4, ... of BERT, against BERT "
        "without its other layers in 64 bits.",
    )


def _taught(teacher: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """BERT's weights for DistilBERT as the paper initialises it: one layer of two, and no pooler.

    DistilBERT knows no token types; the type that BERT adds to each token goes into the positions.
    """
    kept = {}
    for name, tensor in teacher.items():
        parts = name.split(".")
        if parts[0] == "layers" and int(parts[1]) % 2 == 0:
            kept[".".join(["layers", str(int(parts[1]) // 2), *parts[2:]])] = tensor
        elif parts[0] in ("tokens", "norm"):
            kept[name] = tensor
    kept["places.weight"] = teacher["places.weight"] + teacher["types.weight"][0]
    return kept


def _without_odd_layers(
    teacher: dict[str, torch.Tensor], tokens: torch.Tensor, shape: EncoderShape
) -> torch.Tensor:
    """BERT's features with every second layer skipped, in 64 bits."""
    with torch.device("meta"):
        bert = Encoder(shape)
    bert.load_state_dict({name: tensor.double() for name, tensor in teacher.items()}, assign=True)
    bert.layers = bert.layers[::2]
    bert.shape = replace(shape, layers=len(bert.layers))
    return bert(tokens)
