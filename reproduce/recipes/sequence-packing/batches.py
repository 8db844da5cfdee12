"""The same sequences in two layouts: packed into rows, or padded, one a row; with all that the loss needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .packing import Pack

MASKED = 0.15
FILLER = 64  # padding is cut into pieces of this many positions, which attend to themselves only


@dataclass
class Layout:
    """Rows of (rows, length) ids and positions, and where in the flattened rows each sequence lies."""

    tokens: torch.Tensor
    places: torch.Tensor
    segments: list[int]  # lengths that cover all rows: sequences, and pieces of padding
    real: torch.Tensor  # (rows, length), true where a token is
    first: torch.Tensor  # (sequences,) flat index of each sequence's first token
    masked: torch.Tensor  # (predictions,) flat indices, sequence by sequence


@dataclass
class Sequences:
    """What both layouts share: labels, the sequence of each prediction, and pairs; and the layouts."""

    labels: torch.Tensor
    owner: torch.Tensor
    weights: torch.Tensor  # (predictions,) that add up to one for each sequence, whatever its length
    paired: torch.Tensor
    lengths: list[int]
    packed: Layout
    padded: Layout


def build(packs: Sequence[Pack], length: int, vocabulary: int, device: torch.device) -> Sequences:
    """Random sequences as long as those in `packs`, in both layouts."""
    generator = torch.Generator().manual_seed(0)
    lengths = [size for pack in packs for size in pack]
    ids = [torch.randint(vocabulary, (size,), generator=generator) for size in lengths]
    chosen = [
        torch.randperm(size, generator=generator)[: max(1, round(size * MASKED))].sort().values
        for size in lengths
    ]
    owner = torch.cat([torch.full((len(c),), number) for number, c in enumerate(chosen)])
    weights = torch.cat([torch.full((len(c),), 1 / len(c)) for c in chosen])
    labels = torch.randint(vocabulary, (len(owner),), generator=generator)
    paired = torch.randint(2, (len(lengths),), generator=generator)
    layouts = [_layout(rows, ids, chosen, length, device) for rows in (packs, [(size,) for size in lengths])]
    shared = (x.to(device) for x in (labels, owner, weights, paired))
    return Sequences(*shared, lengths, *layouts)


def _layout(
    rows: Sequence[Pack],
    ids: list[torch.Tensor],
    chosen: list[torch.Tensor],
    length: int,
    device: torch.device,
) -> Layout:
    tokens, places = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(2))
    segments: list[int] = []
    first: list[int] = []
    for row, pack in enumerate(rows):
        start = 0
        for size in pack:
            tokens[row, start : start + size] = ids[len(first)]
            places[row, start : start + size] = torch.arange(size)
            first.append(row * length + start)
            start += size
        segments += [*pack, *_filler(length - start)]
    ends = torch.tensor(segments).cumsum(0)
    real = torch.zeros(len(rows) * length, dtype=torch.bool)
    for begin, own in zip(first, ids, strict=True):
        real[begin : begin + len(own)] = True
    assert ends[-1] == real.numel()
    masked = torch.cat([begin + c for begin, c in zip(first, chosen, strict=True)])
    return Layout(
        tokens.to(device),
        places.to(device),
        segments,
        real.view(len(rows), length).to(device),
        torch.tensor(first, device=device),
        masked.to(device),
    )


def _filler(room: int) -> list[int]:
    whole, rest = divmod(room, FILLER)
    return [FILLER] * whole + ([rest] if rest else [])
