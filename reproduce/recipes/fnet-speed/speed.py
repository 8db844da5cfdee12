"""Training steps of BERT and FNet: forward, backward and AdamW, at the paper's shape and over lengths."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.memory import peak_bytes
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, Comparison, compare, profile, release

from .encoder import Encoder, Shape, product_flop

# By name: the kind of encoder, and whether under bf16 autocast; else fp32 with TF32 products.
ARMS = {
    "BERT, fp32": ("attention", False),
    "FNet by FFT, fp32": ("by_fft", False),
    "BERT, flash, bf16": ("flash", True),
    "FNet by FFT, bf16": ("by_fft", True),
    "FNet by products, bf16": ("by_half_products", True),
}
OLD, FOURIER, TODAY = "BERT, fp32", "FNet by FFT, fp32", "BERT, flash, bf16"
CANDIDATES = ("FNet by FFT, bf16", "FNet by products, bf16")
MASKED = 0.15
MATRICES = 9  # n x n matrices of a head that unfused attention reads or writes, forward and backward
FFT_BYTES = (
    2 * 2 * 8
)  # a token and feature, there and back: two passes over half a complex spectrum, read and written
CLAIMED = 1.8

Step = Callable[[int], object]


def measure(context: Context, ceilings: Probe, shape: Shape) -> None:
    """Measures the gain at the paper's shape in both settings, and the memory; charts lengths."""
    batch, length = context["batch"], context["length"]
    with tensor_cores():
        models = {arm: Model(context, shape, arm) for arm in ARMS}
        steps = {arm: model.step(batch, length) for arm, model in models.items()}
        how = profile(context.preset, STEP, warm_up_calls=3, min_rounds=10, min_s=3.0, max_s=5.0, calls=1)
        found = compare(steps, OLD, how, context.device)
        context.keep("papers_shape", found)
        _gains(context, ceilings, shape, found)
        _memory(context, steps)
        del steps
        release(context.device)
        _over_lengths(context, ceilings, shape, models)


class Model:
    """An encoder with its optimizer."""

    def __init__(self, context: Context, shape: Shape, arm: str) -> None:
        self.kind, self.half = ARMS[arm]
        self.shape, self.device = shape, context.device
        self.encoder = Encoder(shape, self.kind).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.encoder.parameters(), lr=1e-4, fused=self.device.type == "cuda"
        )

    def step(self, batch: int, length: int) -> Step:
        """Work that trains on random tokens, 15 % of them masked."""
        masked = max(1, int(MASKED * length))
        batches = [
            (
                torch.randint(self.shape.vocabulary, (batch, length), device=self.device),
                torch.rand(batch, length, device=self.device).argsort(1)[:, :masked],
                torch.randint(self.shape.vocabulary, (batch, masked), device=self.device),
            )
            for _ in range(2)
        ]
        on_gpu = self.device.type == "cuda"

        def work(call: int) -> None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half and on_gpu):
                loss = self.encoder.masked_loss(*batches[call % 2])
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

        return work


@contextmanager
def tensor_cores() -> Iterator[None]:
    """TF32 for the products of fp32 tensors, as one would train in fp32 today."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def least(ceilings: Probe, shape: Shape, arm: str, batch: int, length: int) -> float:
    """Seconds of a step at least: its products, then the traffic of unfused scores or of the FFT.

    TF32 is taken at half the rate seen in bf16. Everything elementwise is left out.
    """
    kind, half = ARMS[arm]
    tokens = batch * length
    masked = batch * max(1, int(MASKED * length))
    products = product_flop(shape, kind, tokens, length, masked) * (1 if half else 2)
    moved = {
        "attention": MATRICES * 4 * shape.heads * length * tokens,
        "by_fft": FFT_BYTES * tokens * shape.width,
    }
    return ceilings.least_time(products) + ceilings.least_time(
        moved=shape.layers * moved.get(kind, 0) if kind in moved else 0
    )


def _gains(context: Context, ceilings: Probe, shape: Shape, found: Comparison) -> None:
    best = min(CANDIDATES, key=lambda arm: found.median(arm).value)
    for name, baseline, candidate in (("training_gain", OLD, FOURIER), ("training_gain_today", TODAY, best)):
        times = {
            arm: least(ceilings, shape, arm, context["batch"], context["length"])
            for arm in (baseline, candidate)
        }
        context.measure(
            name,
            found.speedup(candidate, baseline),
            predicted=times[baseline] / times[candidate],
            predicted_note="Products and the traffic of scores or FFT alone; what both models share besides, "
            "norms, GELU and the optimizer, brings the ratio nearer to one.",
            noise=found.noise(),
            detail={
                "baseline": baseline,
                "candidate": candidate,
                "arms": found.figures(),
                "fraction_of_limit": {
                    "candidate": times[candidate] * 1e3 / found.median(candidate).value,
                    "baseline": times[baseline] * 1e3 / found.median(baseline).value,
                },
            },
        )


def _memory(context: Context, steps: dict[str, Step]) -> None:
    peaks = {arm: peak_bytes(lambda arm=arm: steps[arm](0), context.device) for arm in (OLD, FOURIER)}
    context.measure(
        "memory_saving",
        peaks[OLD] / peaks[FOURIER],
        detail={"peak_bytes_beyond_weights_and_optimizer": peaks},
    )


def _over_lengths(context: Context, ceilings: Probe, shape: Shape, models: dict[str, Model]) -> None:
    found: dict[int, Comparison] = {}
    lengths = context["lengths"]
    for index, length in enumerate(lengths):
        context.progress(0.4 + 0.3 * index / len(lengths), f"training at {length} tokens a sequence")
        batch = max(1, context["tokens"] // length)
        steps = {arm: model.step(batch, length) for arm, model in models.items()}
        if not _fits(context, models[OLD], steps[OLD]):
            context.log(f"Unfused attention at {length} tokens a sequence does not fit into memory.")
            del steps[OLD]
        how = profile(context.preset, STEP, warm_up_calls=2, min_rounds=6, min_s=0.2, max_s=0.8, calls=1)
        found[length] = compare(steps, FOURIER, how, context.device, again=False)
        context.samples[f"{length} tokens"] = dict(found[length].samples)
        release(context.device)
    _charts(context, ceilings, shape, found)


def _fits(context: Context, model: Model, step: Step) -> bool:
    try:
        step(0)
    except torch.OutOfMemoryError:
        model.optimizer.zero_grad(set_to_none=True)
        release(context.device)
        return False
    return True


def _charts(context: Context, ceilings: Probe, shape: Shape, found: dict[int, Comparison]) -> None:
    lengths, axis = list(found), ("Sequence length", "tokens", True)
    fitting = [length for length in lengths if OLD in found[length].samples]
    limit = []
    for length in lengths:
        batch = max(1, context["tokens"] // length)
        limit.append(
            least(ceilings, shape, OLD, batch, length) / least(ceilings, shape, FOURIER, batch, length)
        )
    gains = [curve("FFT in fp32 against attention in fp32", fitting, [_gain(found[n], OLD) for n in fitting])]
    for arm in CANDIDATES:
        label = f"{arm.removeprefix('FNet by ').replace(',', ' in')} against flash attention"
        gains.append(curve(label, lengths, [found[n].speedup(arm, TODAY) for n in lengths]))
    context.chart(
        "gain",
        "Training speed of FNet over BERT",
        axis,
        ("Gain", "x", True),
        [
            *gains,
            {"label": "roofline limit", "x": [float(n) for n in lengths], "y": limit},
            level("claimed by the paper", lengths, CLAIMED),
        ],
    )
    lines = []
    for arm in ARMS:
        timed = [length for length in lengths if arm in found[length].samples]
        lines.append(curve(arm, timed, [found[length].median(arm) for length in timed]))
    context.chart("step", f"Training step of {context['tokens']} tokens", axis, ("Time", "ms", True), lines)


def _gain(found: Comparison, baseline: str) -> Interval:
    return found.speedup(FOURIER, baseline)
