"""Who holds how much of the pool for tokens: four allocators under the same requests; throughput from it."""

from typing import Any

from reproduce.recipes.context import Context, curve, level
from reproduce.recipes.intervals import Interval, mean_of

from . import serving
from .decoder import PAGE, SHAPES, token_bytes
from .serving import Use
from .steps import Costs

POOL_BYTES = 12 * 2**30  # the paper's table 1: 12 GB of a 40 GB A100 beside OPT-13B's weights
SPREADS = (0.5, 0.75, 1.0, 1.25)
CLAIMED = 0.963
LABELS = {"max": "reserved, maximum", "pow2": "reserved, power of two", "oracle": "reserved, exact length"}


def measure(context: Context, costs: Costs) -> None:
    """Measures the four utilisations, bytes a token and throughput; charts utilisation by block size."""
    size = token_bytes(SHAPES["opt-13b"])
    context.measure("bytes_per_token", size, detail={"layers": 40, "width": 5120, "bytes_an_element": 2})
    slots = POOL_BYTES // size
    sizes = sorted({*context["block_sizes"], PAGE})
    uses = [_served(context, slots, context["spread"], seed, sizes) for seed in range(context["seeds"])]
    context.samples["serving"] = [{name: _record(use) for name, use in served.items()} for served in uses]
    for policy in (*serving.RESERVATIONS, "paged"):
        context.measure(
            f"utilisation_{policy}",
            mean_of([served[policy].share for served in uses]),
            predicted=1 - (PAGE - 1) / 2 / (serving.PROMPT + serving.OUTPUT) if policy == "paged" else None,
            predicted_note="Half a block is empty for each request of mean final length."
            if policy == "paged"
            else "",
            detail={"mean_batch": [served[policy].batch for served in uses], "slots": slots},
        )
    leaked = sum(use.leaked for served in uses for use in served.values())
    context.guard("nothing_leaked", leaked, 0, "Slots and blocks that came back to no free list in the end.")
    _measure_throughput(context, uses, costs)
    _charts(context, slots, uses)


def _served(context: Context, slots: int, spread: float, seed: int, sizes: list[int]) -> dict[str, Use]:
    """The same requests under each policy; "paged" has blocks of 16, others are "paged 8" and so on."""
    requests = serving.lengths(context["requests"], spread, seed)
    found = {
        name: serving.reserved(requests, slots, reserve) for name, reserve in serving.RESERVATIONS.items()
    }
    return found | {_paged_name(block): serving.paged(requests, slots, block) for block in sizes}


def _paged_name(block: int) -> str:
    return "paged" if block == PAGE else f"paged {block}"


def _record(use: Use) -> dict[str, Any]:
    return {
        "utilisation": use.share,
        "mean_batch": use.batch,
        "steps": use.steps,
        "generated": use.generated,
        "prefilled": use.prefilled,
        "preempted": use.preempted,
    }


def throughput(use: Use, costs: Costs, layout: str) -> float:
    """Generated tokens a second, with the measured costs of steps and prompts."""
    decoding = sum(steps * costs.step(layout, batch) for batch, steps in use.batches.items())
    return use.generated / (decoding + use.prefilled * costs.token)


def _measure_throughput(context: Context, uses: list[dict[str, Use]], costs: Costs) -> None:
    fast = [throughput(served["paged"], costs, "paged") for served in uses]
    for name, policy in (("throughput_oracle", "oracle"), ("throughput_max", "max")):
        slow = [throughput(served[policy], costs, "contiguous") for served in uses]
        batches = mean_of([served["paged"].batch / served[policy].batch for served in uses])
        context.measure(
            name,
            mean_of([a / b for a, b in zip(fast, slow, strict=True)]),
            predicted=batches.value,
            predicted_note="The ratio of batches, if a step cost the same whatever the batch.",
            noise=costs.found.noise(),
            detail={
                "tokens_per_s": {"candidate": fast, "baseline": slow},
                "step_ms": {
                    "candidate": costs.step("paged", round(uses[0]["paged"].batch)) * 1e3,
                    "baseline": costs.step("contiguous", round(uses[0][policy].batch)) * 1e3,
                },
                "prompt_token_ms": costs.token * 1e3,
            },
        )


def _charts(context: Context, slots: int, uses: list[dict[str, Use]]) -> None:
    sizes = sorted({*context["block_sizes"], PAGE})
    found = [mean_of([served[_paged_name(block)].share for served in uses]) for block in sizes]
    levels = [
        level(label, sizes, mean_of([served[policy].share for served in uses]).value)
        for policy, label in LABELS.items()
    ]
    axis = ("Share of the pool that holds tokens", "", False)
    context.chart(
        "utilisation",
        "Use of the cache's pool by block size",
        ("Tokens in a block", "", True),
        axis,
        [curve("paged", sizes, found), *levels, level("claimed by the paper", sizes, CLAIMED)],
    )
    by_spread: dict[str, list[Interval]] = {}
    for spread in SPREADS:
        served = [_served(context, slots, spread, seed, [PAGE]) for seed in range(3)]
        for policy in (*LABELS, "paged"):
            by_spread.setdefault(policy, []).append(mean_of([found[policy].share for found in served]))
    context.chart(
        "spread",
        "Use of the pool by how unequal the requests' lengths are",
        ("Sigma of the log-normal lengths", "", False),
        axis,
        [curve(LABELS.get(policy, policy), SPREADS, values) for policy, values in by_spread.items()],
    )
