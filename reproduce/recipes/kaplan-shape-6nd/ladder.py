"""The models: sizes of one proportion, and shapes of one size from wide to deep."""

from reproduce.recipes.blocks.tinygpt import Shape

HEAD = 16  # width of every head
LENGTH = 128
VOCABULARY = 256
# (layers, width); parameters without embeddings are 12 * layers * width^2
SIZES = ((1, 32), (2, 48), (2, 64), (3, 80), (4, 112), (5, 160), (6, 240))  # 12 thousand to 4.1 million
SHAPES = ((2, 320), (4, 224), (8, 160), (16, 112), (32, 80))  # 2.4 or 2.5 million each
SUBSET_MODEL = (4, 112)
SMOKE_SIZES = ((1, 16), (1, 32), (2, 48))
SMOKE_SHAPES = ((1, 64), (4, 32), (16, 16))


def shape_of(layers: int, width: int) -> Shape:
    """A model with four widths in the feed-forward net and heads of 16."""
    return Shape(layers, width, width // HEAD, LENGTH, VOCABULARY, positions="learned")


def parameters(shape: Shape) -> int:
    """Without embeddings and positions, as the paper counts."""
    return 12 * shape.layers * shape.width**2


def aspect(shape: Shape) -> float:
    """Width over layers."""
    return shape.width / shape.layers
