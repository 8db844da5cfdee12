"""Wall time at the paper's shapes, batch 1: T5-XXL's decoder with T5-small's as its draft, random weights."""

from functools import partial

import torch

from reproduce.recipes.blocks import speculation
from reproduce.recipes.blocks.decodestack import Shape
from reproduce.recipes.blocks.decoding import capture
from reproduce.recipes.blocks.speculation import Loop, Shaped
from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import STEP, Comparison, Work, compare, profile

from .pair import ALPHAS, GAMMA

MEMORY, CONTEXT, CAPACITY = 128, 64, 256  # encoder's tokens, tokens generated before, room
SHAPES = {
    "tiny": (
        Shape(2, 64, 2, 2, 32, 128, gated=True, memory=16, vocabulary=256),
        Shape(1, 32, 1, 1, 32, 64, gated=True, memory=16, vocabulary=256),
    ),
    # Version 1.1 of T5. Source: its published configurations.
    "t5": (
        Shape(24, 4096, 64, 64, 64, 10_240, gated=True, memory=MEMORY, vocabulary=32_128),
        Shape(8, 512, 6, 6, 64, 1024, gated=True, memory=MEMORY, vocabulary=32_128),
    ),
}
CLAIMED = 3.4
TEMPERATURES = {"greedy": 0, "sampled": 1}


def measure(context: Context, ceilings: Probe, tokens: dict[str, Interval]) -> None:
    """Measures both speed-ups at the paper's gamma and acceptance, `tokens` an iteration; charts gammas."""
    dtype = torch.bfloat16 if context.device.type == "cuda" else torch.float32
    models = [Shaped(shape, 1, CAPACITY, dtype, context.device) for shape in SHAPES[context["shape"]]]
    with torch.no_grad():
        found = _papers_setting(context, models)
        for way, alpha in ALPHAS.items():
            _report(context, ceilings, found, way, alpha, tokens[way])
        _chart(context, models)


def _loop(context: Context, models: list[Shaped], gamma: int, temperature: int, alpha: float) -> Loop:
    vocabulary = models[0].shape.vocabulary
    history = torch.randint(vocabulary, (1, CAPACITY), device=context.device)
    filled = torch.full((1,), CONTEXT, device=context.device)
    return Loop(*models, gamma, history, filled, temperature, oracle=alpha)


def _papers_setting(context: Context, models: list[Shaped]) -> Comparison:
    arms: dict[str, Work] = {}
    for way, temperature in TEMPERATURES.items():
        loop = _loop(context, models, GAMMA, temperature, ALPHAS[way])
        arms[f"autoregressive {way}"] = capture(loop.step, context.device)
        arms[f"speculative {way}"] = capture(loop.iterate, context.device)
        arms[f"draft {way}"] = capture(loop.drafted, context.device)
    tokens, first = loop.history[:, : GAMMA + 1], loop.begin
    arms["verify"] = capture(partial(models[0], tokens, first), context.device)
    how = profile(context.preset, STEP, min_s=1.0, max_s=4.0)
    found = compare(arms, "autoregressive greedy", how, context.device)
    context.keep("papers_setting", found)
    return found


def _report(
    context: Context, ceilings: Probe, found: Comparison, way: str, alpha: float, tokens: Interval
) -> None:
    alone, together = f"autoregressive {way}", f"speculative {way}"
    ratio = found.speedup(together, alone)
    step = found.median(alone).value
    cost = found.median(f"draft {way}").value / GAMMA / step
    target, draft = SHAPES[context["shape"]]
    itemsize = 2 if context.device.type == "cuda" else 4
    moved = [shape.step_bytes(1, CONTEXT, itemsize) for shape in (target, draft)]
    least = ceilings.least_time(moved=moved[0]), ceilings.least_time(moved=moved[0] + GAMMA * moved[1])
    context.measure(
        f"speedup_{way}",
        Interval(ratio.value * tokens.value, ratio.low * tokens.low, ratio.high * tokens.high, ratio.n),
        predicted=speculation.speedup(alpha, GAMMA, cost),
        predicted_note=f"Theorem 3.8 at acceptance {alpha:g}: a draft step takes {cost:.3g} of the target's "
        "step here, and verifying as long as a step.",
        noise=found.noise(),
        detail={
            "alpha_forced": alpha,
            "gamma": GAMMA,
            "tokens_an_iteration": tokens.value,
            "draft_step_over_target_step": cost,
            "verify_over_target_step": found.median("verify").value / step,
            "arms": found.figures(),
            "fraction_of_limit": {
                "candidate": least[1] * 1e3 / found.median(together).value,
                "baseline": least[0] * 1e3 / step,
            },
        },
    )


def _chart(context: Context, models: list[Shaped]) -> None:
    """Speed-up by gamma at the paper's greedy acceptance, measured and by the theorem."""
    gammas, alpha = sorted(context["gammas"]), ALPHAS["greedy"]
    arms: dict[str, Work] = {}
    for gamma in gammas:
        loop = _loop(context, models, gamma, 0, alpha)
        arms[f"gamma {gamma}"] = capture(loop.iterate, context.device)
    arms["autoregressive"] = capture(loop.step, context.device)
    arms["draft"] = capture(loop.drafted, context.device)  # of the largest gamma
    how = profile(context.preset, STEP, min_s=0.5, max_s=3.0)
    found = compare(arms, "autoregressive", how, context.device)
    context.keep("gammas", found)
    cost = found.median("draft").value / gammas[-1] / found.median("autoregressive").value
    measured = []
    for gamma in gammas:
        ratio, tokens = found.speedup(f"gamma {gamma}"), speculation.tokens_per_iteration(alpha, gamma)
        measured.append(Interval(*(part * tokens for part in (ratio.value, ratio.low, ratio.high)), ratio.n))
    context.chart(
        "speedup",
        f"Speed-up at an acceptance of {alpha:g}, by how many tokens are drafted",
        ("Drafted tokens", "", False),
        ("Speed-up", "x", False),
        [
            curve("measured", gammas, measured),
            {
                "label": "theorem 3.8",
                "x": gammas,
                "y": [speculation.speedup(alpha, gamma, cost) for gamma in gammas],
            },
            level("claimed by the paper", gammas, CLAIMED),
            level("roofline limit", gammas, 1 / (1 - alpha)),
        ],
    )
