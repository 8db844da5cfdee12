"""Decoding with four beams a sentence: the caches are reordered each step, as the beams' parents say."""

from dataclasses import dataclass

import torch

from reproduce.recipes.blocks.decodestack import SETS, Stack, random_caches, random_weights
from reproduce.recipes.blocks.decoding import DECODE, Attend, KeyValues, capture, fastest, midpoints, report
from reproduce.recipes.context import Context
from reproduce.recipes.roofline import Probe
from reproduce.recipes.toolbox import compare, profile

from .decode import ARMS, NOTE, PAIR, POSITIONS, dtype_of, shape_of

BEAMS = 4


@dataclass
class Reordered(KeyValues):
    """A cache whose rows first take their parents' past; two buffers that change places."""

    spare: KeyValues
    parents: torch.Tensor  # (rows,)

    def put(self, position: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Copies each parent's tokens before `position`, then stores one token's (rows, kv heads, width)."""
        for past, future in ((self.keys, self.spare.keys), (self.values, self.spare.values)):
            rows, place = (_eight_bytes(buffer)[:, :, :position] for buffer in (past, future))
            torch.index_select(rows, 0, self.parents, out=place)
        now = self.spare
        self.spare = KeyValues(self.keys, self.values)
        self.keys, self.values = now.keys, now.values
        super().put(position, keys, values)


def _eight_bytes(buffer: torch.Tensor) -> torch.Tensor:
    """The same memory as whole numbers of eight bytes, which a copying kernel moves faster than two."""
    return buffer.view(torch.int64)


def together(attend: Attend) -> Attend:
    """Attends to an encoder's output with all beams of a sentence at once, which read it once."""

    def over_memory(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        rows, heads, _, width = q.shape
        asked = q.view(-1, BEAMS, heads, width).transpose(1, 2)
        return attend(asked, k, v).transpose(1, 2).reshape(rows, heads, 1, width)

    return over_memory


def measure(context: Context, ceilings: Probe) -> None:
    """Measures speedup_beam."""
    device, at = context.device, midpoints(context["length"], POSITIONS)
    rows = BEAMS * context["batch"]
    x = torch.randn(rows, context["width"], dtype=dtype_of(device), device=device)
    works, chosen = {}, {}
    for arm, kv_heads in ARMS.items():
        stack = beam_stack(context, kv_heads, rows)
        chosen[arm] = stack.chosen
        works[arm] = capture(lambda stack=stack: [stack.step(x, position) for position in at][-1], device)
    times = compare(works, "multi-head", profile(context.preset, DECODE, max_s=3.0), device)
    context.keep("beam", times)
    report(context, "speedup_beam", times, PAIR, _least(context, ceilings, rows), NOTE, kernels=chosen)


def beam_stack(context: Context, kv_heads: int, rows: int) -> Stack:
    """The paper's decoder with `rows` beams, `BEAMS` to a sentence."""
    device, length, shape = context.device, context["length"], shape_of(context, kv_heads)
    dtype = dtype_of(device)
    parents = torch.arange(rows, device=device) // BEAMS * BEAMS
    parents += torch.randint(BEAMS, (rows,), device=device)
    pairs = [random_caches(shape, rows, length, dtype, device) for _ in range(2)]
    caches = [Reordered(now.keys, now.values, spare, parents) for now, spare in zip(*pairs, strict=True)]
    memories = random_caches(shape, rows // BEAMS, length, dtype, device)
    stack = Stack(shape, *random_weights(shape, dtype, device), caches)
    stack.choose(context.log, length, midpoints(length, POSITIONS)[0] + 1)
    query = torch.randn(rows // BEAMS, shape.heads, BEAMS, shape.head_width, dtype=dtype, device=device)
    choice = fastest([(query, m.keys, m.values) for m in memories[:SETS]], device, context.log)
    stack.memories, stack.attend_memory = memories, together(choice.attend)
    stack.chosen["encoder"] = {"kernel": choice.name, "milliseconds": dict(choice.milliseconds)}
    return stack


def _least(context: Context, ceilings: Probe, rows: int) -> dict[str, float]:
    """Milliseconds at least: own keys are read and written to reorder, then read; the encoder's read once."""
    least = {}
    for arm, kv_heads in ARMS.items():
        shape, total = shape_of(context, kv_heads), 0.0
        for n in midpoints(context["length"], POSITIONS):
            own = shape.cached(n + 1) - shape.cached(0)
            moved = 2 * (shape.weights + rows * 3 * own + rows / BEAMS * shape.cached(0))
            total += ceilings.least_time(shape.step_flop(rows, n + 1), moved)
        least[arm] = 1e3 * total
    return least
