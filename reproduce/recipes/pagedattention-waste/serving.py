"""A server under load, step by step: which requests run, and how much of the pool holds token states.

Iteration-level scheduling for all policies (as Orca's), first come first served, and always a queue.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .allocators import BlockPool, BuddyPool

LONGEST = 2048  # OPT's limit, prompt and output together
PROMPT, OUTPUT = 161.31, 337.99  # mean tokens of ShareGPT. Source: the paper, figure 11
WATERMARK = 0.01  # share of blocks kept free at admission, so that running requests can grow
WARM_UP = 0.25  # share of the requests whose steps are not counted
Lengths = list[tuple[int, int]]  # prompt and output tokens of each request

# Slots that a request reserves when it starts: all it could ever need, the next power of two, what it needs.
RESERVATIONS: dict[str, Callable[[int, int], int]] = {
    "max": lambda prompt, output: LONGEST,
    "pow2": lambda prompt, output: min(LONGEST, prompt + (1 << (output - 1).bit_length())),
    "oracle": lambda prompt, output: prompt + output,
}


@dataclass
class Use:
    """What a server did after its warm-up; `held` and `steps` make the share of the pool in use."""

    slots: int
    held: int = 0  # slots that held token states, summed over steps
    generated: int = 0  # tokens
    prefilled: int = 0  # tokens, recomputed ones included
    preempted: int = 0
    batches: Counter[int] = field(default_factory=Counter)  # steps by how many requests ran
    leaked: int = 0  # slots or blocks that were not returned in the end

    @property
    def steps(self) -> int:
        return sum(self.batches.values())

    @property
    def share(self) -> float:
        """Mean share of the pool that holds token states."""
        return self.held / self.slots / self.steps

    @property
    def batch(self) -> float:
        """Mean number of requests in a step."""
        return sum(size * steps for size, steps in self.batches.items()) / self.steps

    def count(self, batch: int, tokens: int, steps: int = 1) -> None:
        """Adds steps with that batch; `tokens` are the slots in use, summed over them."""
        self.batches[batch] += steps
        self.held += tokens
        self.generated += batch * steps


def lengths(count: int, spread: float, seed: int) -> Lengths:
    """Log-normal prompts and outputs whose means after the cut at 2048 are ShareGPT's; spread is sigma."""
    normal = np.random.default_rng(seed).standard_normal((2, count))
    prompts = _with_mean(np.exp(spread * normal[0]), PROMPT, LONGEST / 2)
    outputs = _with_mean(np.exp(spread * normal[1]), OUTPUT, LONGEST - prompts)
    return list(zip(prompts.tolist(), outputs.tolist(), strict=True))


def _with_mean(values: np.ndarray, mean: float, most: float | np.ndarray) -> np.ndarray:
    """Whole numbers from 1 to `most` whose mean is as wished, by scaling them before the cut."""
    scale = mean / values.mean()
    for _ in range(20):
        scale *= mean / np.clip(values * scale, 1, most).mean()
    return np.clip(np.rint(values * scale), 1, most).astype(int)


def reserved(requests: Lengths, slots: int, reserve: Callable[[int, int], int]) -> Use:
    """Serves with whole reservations from a buddy allocator: none is ever preempted."""
    pool, use = BuddyPool(slots), Use(slots)
    waiting, running, done = deque(requests), [], 0
    while True:
        while waiting and (piece := pool.take(reserve(*waiting[0]))):
            prompt, output = waiting.popleft()
            running.append([prompt, output, piece])  # tokens held, tokens to come, where
            use.prefilled += prompt if done >= WARM_UP * len(requests) else 0
        if not waiting:
            break
        steps = min(left for _, left, _ in running)  # nothing changes before the next one ends
        if done >= WARM_UP * len(requests):
            held = sum(tokens for tokens, _, _ in running)
            use.count(len(running), steps * held + len(running) * steps * (steps + 1) // 2, steps)
        for request in running:
            request[0] += steps
            request[1] -= steps
        for request in [request for request in running if not request[1]]:
            pool.give_back(request[2])
            running.remove(request)
            done += 1
    for request in running:
        pool.give_back(request[2])
    use.leaked = slots - pool.free
    return use


@dataclass
class _Request:
    """A request in blocks; its tokens are all to be computed again if it is preempted."""

    tokens: int
    left: int
    blocks: list[int] = field(default_factory=list)


def paged(requests: Lengths, slots: int, block: int) -> Use:
    """Serves with blocks taken as tokens come; the latest request is preempted when none is left."""
    pool, use = BlockPool(slots, block), Use(slots)
    waiting = deque(_Request(prompt, output) for prompt, output in requests)
    running: list[_Request] = []
    done = 0
    while True:
        counted = done >= WARM_UP * len(requests)
        admitted = _admit(pool, waiting, running)
        use.prefilled += admitted if counted else 0
        if not waiting:
            break
        preempted = _grow(pool, waiting, running)
        if counted:
            use.preempted += preempted
            use.count(len(running), sum(request.tokens for request in running))
        for request in [request for request in running if not request.left]:
            pool.give_back(request.blocks)
            running.remove(request)
            done += 1
    for request in running:
        pool.give_back(request.blocks)
    use.leaked = pool.blocks - pool.free
    return use


def _admit(pool: BlockPool, waiting: deque[_Request], running: list[_Request]) -> int:
    """Starts the next requests while blocks remain above the watermark; their tokens."""
    tokens = 0
    while waiting:
        needed = pool.needed(waiting[0].tokens + 1)
        if running and pool.free - needed < WATERMARK * pool.blocks:
            break
        request = waiting.popleft()
        request.blocks = pool.take(needed)
        running.append(request)
        tokens += request.tokens
    return tokens


def _grow(pool: BlockPool, waiting: deque[_Request], running: list[_Request]) -> int:
    """One token more for each running request; how many were preempted for it."""
    preempted, at = 0, 0
    while at < len(running):
        request = running[at]
        if request.tokens == len(request.blocks) * pool.block:
            if not pool.free:
                last = running.pop()
                pool.give_back(last.blocks)
                last.blocks = []
                waiting.appendleft(last)
                preempted += 1
                continue  # the same request again, unless it was the last itself
            request.blocks.extend(pool.take(1))
        request.tokens += 1
        request.left -= 1
        at += 1
    return preempted
