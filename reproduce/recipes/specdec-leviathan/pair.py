"""A trained pair of small byte models: how many drafted tokens the large one accepts, and tokens a pass."""

from functools import partial

import torch

from reproduce.recipes.blocks import speculation
from reproduce.recipes.blocks.decoding import capture
from reproduce.recipes.blocks.learning import Plan, train
from reproduce.recipes.blocks.speculation import Loop, Trained
from reproduce.recipes.blocks.teacher import Teacher, teacher
from reproduce.recipes.blocks.tinygpt import Shape, TinyGPT
from reproduce.recipes.context import Context, curve
from reproduce.recipes.intervals import Interval, mean_of

GAMMA = 7  # the paper's for its table 2
ALPHAS = {"greedy": 0.75, "sampled": 0.62}  # the paper's, of T5-XXL and T5-small at temperature 0 and 1
DRAFTS = {"smoke": Shape(1, 32, 1, 64), "full": Shape(2, 192, 3, 256)}  # 0.02 and 1 million parameters
PLANS = {"smoke": Plan(60, 3e-3, evaluations=1), "full": Plan(1500, 3e-3, evaluations=4)}
PROMPT = 32  # bytes of held-out text
GROUPS = 5  # of sequences; intervals are over them


class Pair:
    """A target and its draft, and prompts to continue; `loop` puts them into a loop of their own."""

    def __init__(self, taught: Teacher, draft: TinyGPT, sequences: int) -> None:
        self.target, self.draft = taught.model, draft
        self.prompts = taught.text.held_out(GROUPS * sequences, PROMPT)[:, :PROMPT].chunk(GROUPS)

    def loop(
        self,
        prompts: torch.Tensor,
        temperature: int,
        gamma: int = GAMMA,
        oracle: float | None = None,
        capacity: int = 256,
    ) -> Loop:
        """Sequences that begin with `prompts` (b, n), which both models have seen."""
        batch, length = prompts.shape
        history = torch.zeros(batch, capacity, dtype=torch.long, device=prompts.device)
        history[:, :length] = prompts
        filled = torch.full((batch,), length, device=prompts.device)
        models = (Trained(model, batch, capacity) for model in (self.target, self.draft))
        made = Loop(*models, gamma, history, filled, temperature, oracle)
        with torch.no_grad():
            made.prefill()
        return made


def learn(context: Context) -> Pair:
    """The cached target, and a draft that learns the same text now."""
    taught = teacher(context, 0.1, 0.3)
    context.progress(0.3, "a model to draft for it")
    draft = TinyGPT(DRAFTS[context.preset], seed=1).to(context.device)
    plan, length = PLANS[context.preset], DRAFTS[context.preset].length
    draw = lambda step, generator: taught.text.draw(32, length, generator)  # noqa: E731
    train(draft, draw, plan, taught.loss)
    draft.eval().requires_grad_(False)
    context.data["draft"] = {
        "parameters": draft.size(),
        "steps": plan.steps,
        "validation_nats_per_byte": taught.loss(draft),
    }
    return Pair(taught, draft, context["sequences"])


def tokens_at_gamma(context: Context, pair: Pair) -> dict[str, Interval]:
    """Measures tokens_per_step, acceptance and tokens_trained.

    Returns tokens an iteration at the paper's two acceptance rates, forced.
    """
    forced = {way: _groups(context, pair, temperature=0, oracle=alpha)[1] for way, alpha in ALPHAS.items()}
    context.measure(
        "tokens_per_step",
        forced["greedy"],
        predicted=speculation.tokens_per_iteration(ALPHAS["greedy"], GAMMA),
        predicted_note="Equation 1 of the paper.",
        detail={"alpha": ALPHAS["greedy"], "gamma": GAMMA},
    )
    found = {way: _groups(context, pair, temperature) for temperature, way in enumerate(ALPHAS)}
    rate, tokens = found["sampled"]
    context.measure("acceptance", rate, detail={way: one[0].value for way, one in found.items()})
    context.measure(
        "tokens_trained",
        tokens,
        predicted=speculation.tokens_per_iteration(rate.value, GAMMA),
        predicted_note="Equation 1 at the measured acceptance, as if each token had the same chance.",
        detail={way: one[1].value for way, one in found.items()},
    )
    return forced


def _groups(
    context: Context, pair: Pair, temperature: int, gamma: int = GAMMA, oracle: float | None = None
) -> tuple[Interval, Interval]:
    """Share of examined tokens that were accepted, and tokens an iteration; over groups of sequences."""
    rates, tokens = [], []
    for prompts in pair.prompts:
        loop = pair.loop(prompts, temperature, gamma, oracle)
        iterate = capture(loop.iterate, context.device)
        loop.restart()
        for _ in range(context["iterations"]):
            iterate()
        rates.append(loop.accepted.item() / loop.examined.item())
        tokens.append(1 + loop.accepted.item() / loop.iterations.item())
    return mean_of(rates), mean_of(tokens)


def chart(context: Context, pair: Pair) -> None:
    """Charts tokens an iteration of the trained pair by gamma, beside the formula at its acceptance."""
    gammas = sorted(context["gammas"])
    counted = partial(_groups, context, pair)
    found = {way: [counted(number, gamma) for gamma in gammas] for number, way in enumerate(ALPHAS)}
    lines = []
    for way, pairs in found.items():
        lines.append(curve(f"trained pair, {way}", gammas, [tokens for _, tokens in pairs]))
        expected = [
            speculation.tokens_per_iteration(rate.value, gamma)
            for gamma, (rate, _) in zip(gammas, pairs, strict=True)
        ]
        lines.append({"label": f"equation 1, {way}", "x": gammas, "y": expected})
    forced = [speculation.tokens_per_iteration(ALPHAS["greedy"], gamma) for gamma in gammas]
    lines.append({"label": "equation 1 at the paper's 0.75", "x": gammas, "y": forced})
    context.chart(
        "tokens",
        "Tokens for each pass of the large model, by how many are drafted",
        ("Drafted tokens", "", False),
        ("Tokens a pass", "tokens", False),
        lines,
    )
