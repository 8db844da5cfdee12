"""Lengths of sequences, fitted to what the paper says of its data, and packing them by best fit."""

import math
import time
from collections.abc import Sequence

import torch

from reproduce.recipes.context import Context

SEQUENCES = 16_000_000
FULL_SHARE = 0.235  # of the sequences that fill a row, where half of all positions is padding
SHORTEST = 5
PADDING = 0.5
Pack = tuple[int, ...]  # lengths of the sequences in one row


def histogram(length: int, padding: float, count: int = SEQUENCES) -> list[int]:
    """How many of `count` sequences have each length 0..length, so that their mean is (1 - padding) length.

    Some fill a row, in proportion to the real share of tokens; the rest follow an exponential.
    """
    full = FULL_SHARE * (1 - padding) / (1 - PADDING)
    wanted = ((1 - padding) - full) * length / (1 - full)
    sizes = torch.arange(SHORTEST, length, dtype=torch.float64)
    low, high = -10.0, 10.0  # of the rate over a row; the mean falls as the rate rises
    for _ in range(60):
        middle = (low + high) / 2
        weights = torch.softmax(-middle * sizes / length, 0)
        low, high = (middle, high) if (weights * sizes).sum() > wanted else (low, middle)
    counts = [0] * SHORTEST + (weights * count * (1 - full)).round().long().tolist()
    return [*counts, round(count * full)]


def padding_of(counts: Sequence[int]) -> float:
    """Share of padding if every sequence has a row of its own."""
    real = sum(length * count for length, count in enumerate(counts))
    return 1 - real / ((len(counts) - 1) * sum(counts))


def best_fit(counts: Sequence[int]) -> dict[Pack, int]:
    """Packs, and how often each: longest sequences first, each into the fullest row that has room for it.

    Works on counts of lengths, so millions of sequences take no longer than thousands.
    """
    length = len(counts) - 1
    open_rows: list[dict[Pack, int]] = [{} for _ in range(length + 1)]  # by the room that is left
    for size in range(length, 0, -1):
        waiting = counts[size]
        while waiting:
            room = next((r for r in range(size, length) if open_rows[r]), length)
            pack, rows = open_rows[room].popitem() if room < length else ((), waiting)
            fits = room // size if room == length else 1
            taken = min(rows, math.ceil(waiting / fits))
            copies = min(fits, waiting // taken)
            _add(open_rows[room], pack, rows - taken if pack else 0)
            _add(open_rows[room - copies * size], pack + (size,) * copies, taken)
            waiting -= taken * copies
    found: dict[Pack, int] = {}
    for rows in open_rows:
        found.update(rows)
    return found


def _add(rows: dict[Pack, int], pack: Pack, count: int) -> None:
    if count:
        rows[pack] = rows.get(pack, 0) + count


def efficiency(packs: dict[Pack, int], length: int) -> float:
    """Share of the rows' positions that hold real tokens."""
    real = sum(sum(pack) * count for pack, count in packs.items())
    return real / (length * sum(packs.values()))


def draw(packs: dict[Pack, int], count: int) -> list[Pack]:
    """`count` packs that stand for all: evenly spaced among them, in the order of sequences in a row."""
    order = sorted(packs, key=lambda pack: (len(pack), pack))
    ends = torch.tensor([packs[pack] for pack in order], dtype=torch.float64).cumsum(0)
    places = (torch.arange(count, dtype=torch.float64) + 0.5) / count * ends[-1]
    return [order[number] for number in torch.searchsorted(ends, places).tolist()]


def measure(context: Context) -> None:
    """Measures padding, efficiency and packing_time; guards that every sequence is packed once."""
    counts = histogram(context["length"], PADDING)
    begun = time.perf_counter()
    packs = best_fit(counts)
    seconds = time.perf_counter() - begun
    packed = [0] * len(counts)
    for pack, rows in packs.items():
        for size in pack:
            packed[size] += rows
    context.guard(
        "every_sequence_once",
        sum(abs(a - b) for a, b in zip(packed, counts, strict=True)),
        0,
        f"Sequences that packing lost or added, of {sum(counts):,}.",
    )
    context.guard(
        "longest_row",
        max(map(sum, packs)),
        context["length"],
        "Tokens in the fullest row, against its length.",
    )
    context.measure("padding", padding_of(counts))
    rows, most = sum(packs.values()), max(map(len, packs))
    context.measure(
        "efficiency",
        efficiency(packs, context["length"]),
        detail={"sequences": sum(counts), "rows": rows, "different_packs": len(packs), "most_in_a_row": most},
    )
    context.measure("packing_time", seconds)
