"""Guards of the theorem: greedy text is the same token by token, drawn text has the target's distribution."""

import copy

import torch

from reproduce.recipes.blocks.decoding import capture
from reproduce.recipes.context import Context
from reproduce.recipes.intervals import Interval

from .pair import Pair

CHANCE = 0.01  # a p below it counts as another distribution. Source: RECIPES, section 55
EXPECTED = 5.0  # least expected count of a bin
TOKENS = 24  # of each sequence that must be the same
SEQUENCES = 16


def unchanged(context: Context, pair: Pair) -> None:
    """Measures distribution_unchanged: 1 if greedy text is identical and drawn tokens are as they must be."""
    different = greedy_differences(pair)
    context.guard(
        "greedy_identical",
        different,
        0,
        f"Tokens that differ from the target's own, {SEQUENCES} sequences of {TOKENS}, in 64-bit arithmetic.",
    )
    chances = drawn_chances(context, pair)
    for place, p in enumerate(chances, 1):
        context.guard(
            f"drawn_token_{place}",
            p,
            CHANCE,
            f"Chance of draws this far off the target's own distribution of generated token {place} "
            f"(chi-squared, {context['draws']} draws); it must not be below the limit.",
            passed=p >= CHANCE,
        )
    holds = float(different == 0 and min(chances) >= CHANCE)
    detail = {"draws": context["draws"], "p": chances, "greedy_tokens_that_differ": different}
    context.measure("distribution_unchanged", Interval(holds, holds, holds, context["draws"]), detail=detail)


@torch.no_grad()
def greedy_differences(pair: Pair) -> int:
    """Tokens of speculative greedy decoding that the target alone would not have chosen."""
    exact = copy.copy(pair)
    exact.target, exact.draft = (copy.deepcopy(model).double() for model in (pair.target, pair.draft))
    prompts = pair.prompts[0][:SEQUENCES]
    alone, together = (exact.loop(prompts, temperature=0, gamma=3) for _ in range(2))
    for _ in range(TOKENS):
        alone.step()
        together.iterate()  # at least a token each
    generated = slice(prompts.shape[1], prompts.shape[1] + TOKENS)
    return int((alone.history[:, generated] != together.history[:, generated]).sum())


@torch.no_grad()
def drawn_chances(context: Context, pair: Pair, batch: int = 2048) -> list[float]:
    """p of chi-squared for the first two generated tokens after one prompt, drawn again and again."""
    batch = min(batch, context["draws"])
    prompt = pair.prompts[0][:1]
    loop = pair.loop(prompt.expand(batch, -1), temperature=1, gamma=2, capacity=prompt.shape[1] + 16)
    iterate = capture(loop.iterate, context.device)
    counts = torch.zeros(2, pair.target.shape.vocabulary, dtype=torch.float64, device=context.device)
    for _ in range(context["draws"] // batch):
        loop.restart()
        iterate()
        iterate()
        for place in range(2):
            tokens = loop.history[:, prompt.shape[1] + place]
            counts[place] += torch.bincount(tokens, minlength=counts.shape[1])
    return [chance(count, share) for count, share in zip(counts, _shares(pair, prompt), strict=True)]


def _shares(pair: Pair, prompt: torch.Tensor) -> torch.Tensor:
    """(2, V): the target's own distribution of the first token, and of the second whatever the first."""
    first = pair.target(prompt)[0, -1].double().softmax(-1)
    letters = torch.arange(len(first), device=prompt.device)[:, None]
    longer = torch.cat((prompt.expand(len(first), -1), letters), dim=1)
    after = torch.cat([pair.target(part)[:, -1] for part in longer.chunk(4)]).double().softmax(-1)
    return torch.stack((first, first @ after))


def chance(counts: torch.Tensor, shares: torch.Tensor) -> float:
    """p of Pearson's chi-squared test; bins with too few expected draws are one bin."""
    expected = shares * counts.sum()
    rare = expected < EXPECTED
    seen, awaited = ([*part[~rare].tolist(), part[rare].sum().item()] for part in (counts, expected))
    statistic = sum((o - e) ** 2 / e for o, e in zip(seen, awaited, strict=True) if e > 0)
    freedom = sum(e > 0 for e in awaited) - 1
    halves = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return torch.special.gammaincc(halves[0], halves[1]).item()
