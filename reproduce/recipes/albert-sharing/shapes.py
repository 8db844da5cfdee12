"""The two models that are compared, both with the paper's vocabulary."""

from dataclasses import replace

from reproduce.recipes.blocks.zoo import ENCODERS

from .counts import WORDS

SHAPES = {
    "large": {
        "bert": replace(ENCODERS["bert-large"], vocabulary=WORDS),
        "albert": replace(ENCODERS["albert-large"], vocabulary=WORDS),
    },
    "tiny": {"bert": ENCODERS["tiny"], "albert": ENCODERS["tiny-albert"]},
}
