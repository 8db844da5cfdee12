"""Finding duplicates: exact substrings by a suffix array, near duplicates by MinHash and banding.

Source: arXiv:2107.06499, sections 4.1 and 4.2. Everything is tensors, on the device.
"""

import torch

EXACT = 256  # bytes: about the paper's 50 tokens
SHINGLE = 5
BANDS, ROWS = 32, 8
SIMILAR = 0.8
CHUNK = 64  # documents hashed at once
BASE = -7046029254386353131  # odd; products wrap around at 2^64


def prefix_ranks(content: torch.Tensor, length: int) -> torch.Tensor:
    """(n,) ranks of the `length` bytes from each place of (n,) uint8 on: equal bytes have equal ranks.

    Prefix doubling, as a suffix array is built, but no further than `length`; past the end is smallest.
    """
    ranks, reach = content.long() + 1, 1
    while reach < length:
        step = min(reach, length - reach)
        shifted = torch.cat((ranks[step:], ranks.new_zeros(min(step, len(ranks)))))
        keys = ranks * (len(ranks) + 257) + shifted
        _, ranks = torch.unique(keys, return_inverse=True)
        ranks, reach = ranks + 1, reach + step
    return ranks


def repeated_substrings(documents: torch.Tensor, length: int = EXACT) -> torch.Tensor:
    """(count, size) of (count, size) uint8: bytes in a substring of `length` that stood in an earlier place.

    Substrings lie within one document; the first of equal ones is kept.
    """
    count, size = documents.shape
    ranks = prefix_ranks(documents.flatten(), length)
    places = torch.arange(count * size, device=documents.device)
    first = torch.full((int(ranks.max()) + 1,), count * size, device=documents.device)
    inside = places % size <= size - length
    first.scatter_reduce_(0, ranks[inside], places[inside], "amin")
    again = (inside & (first[ranks] < places)).view(count, size).int()
    covered = torch.cumsum(again, 1) - torch.cumsum(torch.nn.functional.pad(again, (length, 0)), 1)[:, :size]
    return covered > 0


def signatures(documents: torch.Tensor) -> torch.Tensor:
    """(count, BANDS * ROWS) least hashes of the shingles of each document."""
    generator = torch.Generator().manual_seed(0)
    factors, offsets = (
        torch.randint(-(2**63), 2**63 - 1, (BANDS * ROWS,), generator=generator).to(documents.device)
        for _ in range(2)
    )
    factors |= 1
    found = []
    for part in documents.split(CHUNK):
        shingles = window_hashes(part, SHINGLE)
        hashed = shingles[..., None] * factors + offsets
        hashed = (hashed ^ (hashed >> 31)) * BASE
        found.append(hashed.amin(1))
    return torch.cat(found)


def near_duplicates(documents: torch.Tensor) -> torch.Tensor:
    """(count,) for each document the first one that it is a near duplicate of, through others if need be.

    Documents that agree in a band are compared with the first of them, by the share of equal hashes.
    """
    hashes = signatures(documents)
    count = len(documents)
    labels = torch.arange(count, device=documents.device)
    edges = []
    for band in hashes.split(ROWS, dim=1):
        _, bucket = torch.unique(_mixed(band), return_inverse=True)
        first = torch.full((count,), count, device=documents.device)
        first = first.scatter_reduce(0, bucket, labels, "amin")[bucket]
        alike = (hashes == hashes[first]).float().mean(1) >= SIMILAR
        edges.append(torch.stack((labels, first))[:, alike & (first < labels)])
    return _connected(labels, torch.cat(edges, dim=1))


def window_hashes(rows: torch.Tensor, width: int) -> torch.Tensor:
    """(count, size - width + 1) hashes of the windows of (count, size) uint8, modulo 2^64."""
    found = torch.zeros(len(rows), rows.shape[1] - width + 1, dtype=torch.long, device=rows.device)
    for offset in range(width):
        found = found * BASE + (rows[:, offset : offset + found.shape[1]].long() + 1)
    return (found ^ (found >> 29)) * BASE


def _mixed(band: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(band[:, 0])
    for column in band.T:
        found = (found ^ column) * BASE
    return found


def _connected(labels: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """The least label that edges (2, n) lead to, for each."""
    while True:
        least = torch.minimum(labels[edges[0]], labels[edges[1]])
        after = labels.scatter_reduce(0, edges.flatten(), least.repeat(2), "amin")
        after = after[after]
        if torch.equal(after, labels):
            return labels
        labels = after
