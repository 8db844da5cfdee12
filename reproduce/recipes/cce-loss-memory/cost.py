"""Memory and time of the loss: cut, eager and compiled, at the paper's shape and over vocabularies."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional

from reproduce.recipes.blocks.replaying import replayed
from reproduce.recipes.context import Context, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.memory import peak_bytes, tensor_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import KERNEL, Comparison, compare, profile, release

from . import cut

MIB = 2**20
CLAIMED = 1164
SPREAD = 0.02  # of the weights
Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass
class Problem:
    """Random features, weights and labels."""

    e: torch.Tensor
    c: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def random(cls, tokens: int, width: int, words: int, device: torch.device) -> "Problem":
        """bf16 on a GPU, fp32 on a CPU."""
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        e = torch.randn(tokens, width, device=device, dtype=dtype)
        c = torch.randn(words, width, device=device, dtype=dtype).mul_(SPREAD)
        labels = torch.randint(words, (tokens,), device=device)
        return cls(e.requires_grad_(), c.requires_grad_(), labels)

    def in_double(self) -> "Problem":
        """The same numbers in 64 bits."""
        return Problem(*(x.detach().double().requires_grad_() for x in (self.e, self.c)), self.labels)

    def forward(self, loss: Loss) -> torch.Tensor:
        """The loss alone."""
        with torch.no_grad():
            return loss(self.e, self.c, self.labels)

    def both(self, loss: Loss) -> tuple[torch.Tensor, ...]:
        """Both gradients of the loss."""
        return torch.autograd.grad(loss(self.e, self.c, self.labels), (self.e, self.c))


def eager(e: torch.Tensor, c: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """As model libraries write it: all logits, in fp32 for the loss."""
    return functional.cross_entropy((e @ c.t()).float(), labels)


def at_papers_shape(context: Context, ceilings: Probe) -> None:
    """Measures everything but the chart of vocabularies."""
    sizes = (context["tokens"], context["width"], context["vocabulary"])
    problem = Problem.random(*sizes, context.device)
    losses = {
        "eager": eager,
        "compiled": _compiled(context),
        "cut": partial(cut.loss, block=context["block"]),
    }
    alone = peak_bytes(partial(problem.forward, losses["cut"]), context.device)
    peaks = {}
    for name, loss in losses.items():
        peaks[name] = peak_bytes(partial(problem.both, loss), context.device)
        release(context.device)
    context.measure("memory_forward", alone / MIB, detail={"bytes": alone})
    _report_memory(context, problem, peaks)
    context.progress(0.6, "time at the paper's shape")
    works = {name: lambda call, loss=loss: problem.both(loss) for name, loss in losses.items()}
    works["cut"] = replayed(partial(problem.both, losses["cut"]), context.device)  # of many small products
    found = compare(works, "compiled", profile(context.preset, KERNEL, max_s=5.0), context.device)
    _report_time(context, ceilings, found, sizes)


def _compiled(context: Context) -> Loss:
    """The eager loss through PyTorch's compiler; on a CPU as it is, since that needs a C++ compiler."""
    if context.device.type == "cuda":
        return torch.compile(eager, dynamic=False)
    context.log("Without a GPU the compiled baseline is the eager one.")
    return eager


def _report_memory(context: Context, problem: Problem, peaks: dict[str, int]) -> None:
    gradients = tensor_bytes([problem.e, problem.c])
    detail = {
        "bytes": peaks,
        "gradient_bytes": gradients,
        "kernels": "Triton and cuBLAS" if cut.fused(problem.e) else "block by block in PyTorch",
    }
    context.measure(
        "memory_gradient",
        peaks["cut"] / MIB,
        predicted=gradients / MIB,
        predicted_note="The two gradients alone.",
        detail=detail,
    )
    for name in ("eager", "compiled"):
        context.measure(f"memory_ratio_{name}", peaks[name] / peaks["cut"], detail=detail)


def _report_time(context: Context, ceilings: Probe, found: Comparison, sizes: tuple[int, int, int]) -> None:
    """The cut loss makes the logits twice, so it needs four products for the baselines' three."""
    context.keep("loss_and_gradients", found)
    tokens, width, words = sizes
    product = ceilings.least_time(2 * tokens * width * words)
    passes = ceilings.least_time(
        moved=5 * 2 * tokens * words
    )  # logits written and read, slopes written, read
    least = {"cut": 4 * product, "compiled": 3 * product + passes, "eager": 3 * product + passes}
    for name in ("compiled", "eager"):
        faster = found.speedup("cut", name)
        context.measure(
            f"time_{name}",
            Interval(1 / faster.value, 1 / faster.high, 1 / faster.low, faster.n),
            predicted=least["cut"] / least[name],
            predicted_note=f"Four matrix products of {product * 1e3:.3g} ms against three, and logits in 16 "
            "bits moved five times.",
            noise=found.noise(),
            detail={
                "arms": found.figures(),
                "fraction_of_limit": {
                    "candidate": least["cut"] * 1e3 / found.median("cut").value,
                    "baseline": least[name] * 1e3 / found.median(name).value,
                },
            },
        )


def over_vocabularies(context: Context) -> None:
    """Charts the memory of loss and gradients over vocabularies, eager and cut."""
    sizes = sorted({*context["vocabularies"], context["vocabulary"]})
    losses: dict[str, Loss] = {"eager": eager, "cut": partial(cut.loss, block=context["block"])}
    found: dict[str, list[float]] = {name: [] for name in losses}
    least = []
    for words in sizes:
        problem = Problem.random(context["tokens"], context["width"], words, context.device)
        least.append(tensor_bytes([problem.e, problem.c]) / MIB)
        for name, loss in losses.items():
            release(context.device)
            found[name].append(peak_bytes(partial(problem.both, loss), context.device) / MIB)
    context.samples["memory_by_vocabulary_mib"] = {"vocabularies": sizes, **found}
    context.chart(
        "memory_by_vocabulary",
        f"Peak memory of loss and gradients, {context['tokens']} tokens",
        ("Vocabulary", "words", True),
        ("Peak memory", "MiB", True),
        [{"label": name, "x": sizes, "y": values} for name, values in found.items()]
        + [
            {"label": "the gradients alone", "x": sizes, "y": least},
            level("claimed by the paper", sizes, CLAIMED),
        ],
    )
