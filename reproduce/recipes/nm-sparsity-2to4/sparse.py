"""2:4 pruning by magnitude, and the compressed weight that is multiplied. Weights are (outputs, inputs)."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from reproduce.recipes.context import Context
from reproduce.recipes.memory import tensor_bytes

GROUP, KEPT = 4, 2
LIMIT = 1e-3
SHAPE, ROWS = (512, 1024), 128  # of the check
INDEX_BITS = 2  # of the place of a kept weight in its group


def mask(weight: torch.Tensor) -> torch.Tensor:
    """True for the two largest magnitudes of every four weights along the inputs; two even with ties."""
    groups = weight.detach().abs().unflatten(-1, (-1, GROUP))
    kept = torch.zeros_like(groups, dtype=torch.bool)
    return kept.scatter_(-1, groups.topk(KEPT, dim=-1).indices, True).flatten(-2)


def prune(weight: torch.Tensor) -> torch.Tensor:
    """The weight with two of every four set to zero."""
    return weight * mask(weight)


def compress(pruned: torch.Tensor) -> torch.Tensor:
    """The weight as sparse tensor cores take it; on a CPU, which has none, as it is."""
    return torch.sparse.to_sparse_semi_structured(pruned) if pruned.is_cuda else pruned


@dataclass(frozen=True)
class Way:
    """How cuSPARSELt multiplies: the result by rows or transposed; (algorithm, split, mode) if searched."""

    by_rows: bool = True
    algorithm: tuple[int, ...] = ()


BY_ROWS = Way()


def product(x: torch.Tensor, weight: torch.Tensor, way: Way = BY_ROWS) -> torch.Tensor:
    """(rows, inputs) times a dense or compressed weight: (rows, outputs).

    Compressed ones by the operation itself: a tensor subclass may copy its result into another layout.
    """
    if not by_cusparselt(weight):
        return functional.linear(x, weight)
    found = torch._cslt_sparse_mm(weight.packed, x.t(), None, None, None, way.by_rows, *way.algorithm)
    return found if way.by_rows else found.t()


def by_cusparselt(weight: torch.Tensor) -> bool:
    """Whether the weight is compressed for cuSPARSELt, which keeps places and values in one tensor."""
    return getattr(weight, "packed", None) is not None and weight.meta is None


def searched(context: Context, weight: torch.Tensor, x: torch.Tensor, by_rows: bool) -> Way:
    """The way that cuSPARSELt finds fastest for this product and layout; its default if it cannot say."""
    try:
        search = torch._C._cusparselt.mm_search
        return Way(by_rows, tuple(search(weight.packed, x.t(), None, None, None, by_rows)[:3]))
    except (AttributeError, RuntimeError, TypeError) as error:
        context.log(f"No search among cuSPARSELt's algorithms: {str(error)[:300]}")
        return Way(by_rows)


def stored_bytes(weight: torch.Tensor, pruned: torch.Tensor) -> float:
    """Bytes of the compressed weight's tensors; on a CPU those of its kept values and their places."""
    if weight.is_cuda:
        return tensor_bytes([t for t in (weight.packed, weight.meta) if t is not None])
    return pruned.numel() * KEPT / GROUP * (pruned.element_size() + INDEX_BITS / 8)


def check(context: Context, dtype: torch.dtype) -> None:
    """Guards the sparse product against the masked dense one, and that pruning keeps the two largest of four.

    Measures weight_bytes.
    """
    weight, x = (torch.randn(*size, device=context.device, dtype=dtype) for size in (SHAPE, (ROWS, SHAPE[1])))
    pruned = prune(weight)
    compressed = compress(pruned)
    expected = functional.linear(x, weight * mask(weight)).double()
    ways = [Way(by_rows) for by_rows in (True, False)]
    ways += [searched(context, compressed, x, way.by_rows) for way in ways if by_cusparselt(compressed)]
    found = [product(x, compressed, way).double() for way in ways]
    context.guard(
        "equals_masked_dense",
        max(((one - expected).norm() / expected.norm()).item() for one in found),
        LIMIT,
        f"Relative difference of sparse products to a dense one with the same zeros, in {dtype}, the worst.",
    )
    groups = weight.double().square().unflatten(-1, (-1, GROUP))
    most = groups.sort(dim=-1).values[..., -KEPT:].sum()
    kept = pruned.double().square().unflatten(-1, (-1, GROUP))
    context.guard(
        "nonzeros_in_four",
        (kept > 0).sum(-1).max().item(),
        KEPT,
        "Most weights that are not zero among four neighbours.",
    )
    context.guard(
        "keeps_the_largest",
        abs(1 - (kept.sum() / most).item()),
        1e-6,
        "Sum of squares that pruning keeps, relative to that of the two largest of every four.",
    )
    context.measure("weight_bytes", stored_bytes(compressed, pruned) / tensor_bytes([weight]))
