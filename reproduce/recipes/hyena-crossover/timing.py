"""Forward and backward of the Hyena operator and of attention, over lengths at constant tokens."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from reproduce.recipes.blocks.crossing import crossover
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, Work, compare, profile, release

from . import attention, gates, hyena

PASSES = 11  # over n x n matrices: 4 forward, 7 backward, with scale and mask for nothing
FUSED_LIMIT = 1e-2  # of bf16 values that are rounded in other places
FFT_BYTES = 72  # a number: four transforms of twice the length, 4 bytes read and written; gates in 2 bytes


@dataclass(frozen=True)
class Cell:
    """One length: the comparison, and the least milliseconds of each arm."""

    length: int
    found: Comparison
    least: dict[str, float]

    def gain(self, arm: str) -> Interval:
        """Time of an arm divided by that of Hyena."""
        return self.found.speedup("hyena", arm)

    @property
    def fastest(self) -> str:
        """The fused attention that is fastest here."""
        fused = [arm for arm in ("flash", "cudnn") if arm in self.found.samples]
        return min(fused, key=lambda arm: self.found.median(arm).value)


def over_lengths(context: Context, ceilings: Probe, dtype: torch.dtype) -> None:
    """Measures the gains at the near and the far length and the crossover; charts gains and times."""
    operators = _operators(context, dtype)
    cells = []
    lengths = sorted({*context["lengths"], context["near"], context["far"]})
    for number, length in enumerate(lengths):
        context.progress(0.2 + 0.8 * number / len(lengths), f"time at {length} tokens a sequence")
        cells.append(_cell(context, ceilings, dtype, operators, length))
        release(context.device)
    by_length = {cell.length: cell for cell in cells}
    near, far = by_length[context["near"]], by_length[context["far"]]
    _measure(context, "speedup_near", near, "flash")
    _measure(context, "speedup_near_fastest", near, near.fastest)
    _measure(context, "speedup_far", far, "standard")
    _measure(context, "speedup_far_flash", far, "flash")
    _measure_crossover(context, cells)
    _charts(context, cells)


def _operators(context: Context, dtype: torch.dtype) -> dict[str, nn.Module]:
    width, heads, device = context["width"], context["heads"], context.device
    operators: dict[str, nn.Module] = {"hyena": hyena.Hyena(width, dtype).to(device)}
    for name, backend in attention.backends(device).items():
        operators[name] = attention.Attention(width, heads, dtype, backend).to(device)
    _fuse(context, operators["hyena"], dtype)
    return operators


def _fuse(context: Context, operator: nn.Module, dtype: torch.dtype) -> None:
    """Compiles the filter's window once for all lengths; without a compiler it stays as it is."""
    x, gradient = _batch(context, dtype, 2, context["near"])
    operator.enter, operator.leave = gates.plain_enter, gates.plain_leave
    with torch.no_grad():
        plain = operator(x)
    operator.enter, operator.leave = gates.enter, gates.leave
    backend = "inductor" if context.device.type == "cuda" else "eager"
    operator.window = torch.compile(hyena.window, dynamic=True, backend=backend)
    try:
        _both(operator, x, gradient)(0)
    except Exception as error:  # whatever a compiler may raise
        context.log(f"Not compiled: {type(error).__name__}: {str(error)[:300]}")
        operator.window = hyena.window
    with torch.no_grad():
        error = ((operator(x) - plain).float().norm() / plain.float().norm()).item()
    context.guard("fused_exact", error, FUSED_LIMIT, "The fused operator against the plain one, relative.")


def _batch(
    context: Context, dtype: torch.dtype, batch: int, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random inputs, and the gradient that arrives."""
    size = (batch, length, context["width"])
    x, gradient = (torch.randn(size, device=context.device, dtype=dtype) for _ in range(2))
    return x.requires_grad_(), gradient


def _both(operator: nn.Module, x: torch.Tensor, gradient: torch.Tensor) -> Work:
    """Work: forward and backward, gradients of the input and of every weight."""
    leaves = [x, *operator.parameters()]
    return lambda call: torch.autograd.grad(operator(x), leaves, gradient)


def _cell(
    context: Context, ceilings: Probe, dtype: torch.dtype, operators: dict[str, nn.Module], length: int
) -> Cell:
    batch = max(1, context["tokens"] // length)
    x, gradient = _batch(context, dtype, batch, length)
    works = {name: _both(operator, x, gradient) for name, operator in operators.items()}
    makes: dict[str, Callable[[], Work]] = {name: (lambda work=work: work) for name, work in works.items()}
    if length <= context["far"]:
        makes["standard"] = lambda: attention.standard_step(operators["flash"], x, gradient)
    arms = {name: work for name, make in makes.items() if (work := _possible(context, name, length, make))}
    main = length in (context["near"], context["far"])
    how = profile(context.preset, KERNEL, warm_up_calls=2, max_s=3.0 if main else 0.5)
    found = compare(arms, "flash", how, context.device)
    if main:
        context.keep(f"tokens_{length}", found)
    else:
        context.samples[f"{length} tokens"] = dict(found.samples)
    sizes = (batch, length, context["width"], context["heads"])
    least = {name: _least(name, sizes, dtype.itemsize, ceilings) * 1e3 for name in arms}
    return Cell(length, found, least)


def _possible(context: Context, name: str, length: int, make: Callable[[], Work]) -> Work | None:
    """The work if it runs here, else None. Raises what flash attention and Hyena raise: both must run."""
    try:
        work = make()
        work(0)
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if name in ("flash", "hyena"):
            raise
        context.log(f"{name} at {length} tokens: {str(error)[:200]}")
        return None
    return work


def _least(name: str, sizes: tuple[int, int, int, int], itemsize: int, ceilings: Probe) -> float:
    """Least seconds: products, then what must pass through memory; kernels that cannot overlap are added."""
    batch, length, width, heads = sizes
    products = ceilings.least_time(3 * 8 * batch * length * width**2)
    if name == "hyena":
        return products + ceilings.least_time(moved=FFT_BYTES * batch * length * width)
    core = 3.5 * 4 * batch * length**2 * width
    if name != "standard":
        return products + ceilings.least_time(core / 2)
    matrices = PASSES * batch * heads * length**2 * itemsize
    return products + ceilings.least_time(core, matrices)


def _measure(context: Context, name: str, cell: Cell, baseline: str) -> None:
    times = {arm: cell.found.median(arm).value for arm in ("hyena", baseline)}
    context.measure(
        name,
        cell.gain(baseline),
        predicted=cell.least[baseline] / cell.least["hyena"],
        predicted_note=f"{cell.least[baseline]:.3g} ms against {cell.least['hyena']:.3g} ms: products at the "
        "probed rate, and FFTs or n x n matrices through memory.",
        noise=cell.found.noise(),
        detail={
            "length": cell.length,
            "baseline": baseline,
            "fraction_of_limit": {
                "candidate": cell.least["hyena"] / times["hyena"],
                "baseline": cell.least[baseline] / times[baseline],
            },
            "arms": cell.found.figures(),
        },
    )


def _measure_crossover(context: Context, cells: list[Cell]) -> None:
    lengths, gains = [cell.length for cell in cells], [cell.gain("flash") for cell in cells]
    context.measure(
        "crossover",
        crossover(lengths, gains),
        detail={"faster_at_some_length": any(gain.low > 1 for gain in gains)},
    )


def _charts(context: Context, cells: list[Cell]) -> None:
    arms = [arm for arm in ("flash", "cudnn", "standard") if arm in cells[0].found.samples]
    there = {arm: [cell for cell in cells if arm in cell.found.samples] for arm in (*arms, "hyena")}
    claimed = {"label": "claimed by the paper", "x": [8192, 65_536], "y": [2, 100]}
    limits = [
        {
            "label": f"roofline limit, {arm}" if arm != "flash" else "roofline limit",
            "x": [cell.length for cell in there[arm]],
            "y": [cell.least[arm] / cell.least["hyena"] for cell in there[arm]],
        }
        for arm in arms
        if arm != "cudnn"  # as flash: both are bound by arithmetic
    ]
    context.chart(
        "gain",
        "Hyena against attention, forward and backward",
        ("Sequence length", "tokens", True),
        ("Speed-up", "x", True),
        [
            *(curve(f"against {a}", *_points(there[a], lambda c, a=a: c.gain(a))) for a in arms),
            *limits,
            claimed,
        ],
    )
    context.chart(
        "time",
        "Time of one operator, forward and backward, at a constant number of tokens",
        ("Sequence length", "tokens", True),
        ("Time", "ms", True),
        [curve(a, *_points(there[a], lambda c, a=a: c.found.median(a))) for a in ("hyena", *arms)],
    )


def _points(cells: list[Cell], value: Callable[[Cell], Interval]) -> tuple[list[int], list[Interval]]:
    return [cell.length for cell in cells], [value(cell) for cell in cells]
