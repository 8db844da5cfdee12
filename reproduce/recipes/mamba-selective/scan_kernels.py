"""The selective scan and its derivative on a GPU; x, dt, y are (rows, length, channels) here.

If rows and channels are too few to fill it, chunks of time run side by side: once for the state each adds,
then from the states that enter them.
"""

from dataclasses import dataclass

import torch
import triton

from . import scan_programs as programs

UNROLL = 4  # steps whose inputs are read together; states are kept after as many
WIDE, NARROW = 32, 16  # channels of a warp, forward and backward
PLENTY = {WIDE: 2048, NARROW: 1152}  # warps that fill a GPU, given the registers that each needs


@dataclass(frozen=True)
class Plan:
    """How rows, channels and time are cut."""

    rows: int
    length: int
    channels: int
    states: int
    per_group: int
    block: int
    chunk: int
    chunks: int

    @classmethod
    def of(cls, x: torch.Tensor, a: torch.Tensor, block: int) -> "Plan":
        """Time in one piece if that leaves no more than half of the GPU idle."""
        rows, length, channels = x.shape
        warps = rows * triton.cdiv(channels, block)
        pieces = 1 if 2 * warps >= PLENTY[block] else triton.cdiv(PLENTY[block], warps)
        chunk = max(16, triton.cdiv(triton.cdiv(length, pieces), UNROLL) * UNROLL)
        return cls(
            rows, length, channels, a.shape[-1], rows // a.shape[0], block, chunk, triton.cdiv(length, chunk)
        )

    @property
    def grid(self) -> tuple[int, int, int]:
        """One program for each block of channels, chunk and row."""
        return triton.cdiv(self.channels, self.block), self.chunks, self.rows

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """What kernels are told."""
        return self.length, self.channels, self.chunk, self.per_group

    def carried(
        self, dt: torch.Tensor, value: torch.Tensor, mixing: torch.Tensor, a: torch.Tensor, backward: bool,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """What enters each chunk, (rows, chunks, channels, states): states, or gradients from later on."""
        found = torch.empty(self.rows, self.chunks, self.channels, self.states, device=dt.device)
        if self.chunks == 1:
            return found.zero_()
        sums = found.new_empty(self.rows, self.chunks, self.channels)
        programs.ends[self.grid](
            dt, value, mixing, a, dt if bias is None else bias, found, sums, *self.sizes,
            N=self.states, BLOCK=self.block, UNROLL=UNROLL, BACKWARD=backward, RAW=bias is not None,
            num_warps=1,
        )  # fmt: skip
        programs.join[(triton.cdiv(self.channels, 8), self.rows)](
            a, found, sums, self.chunks, self.channels, self.per_group,
            N=self.states, BLOCK=8, UNROLL=8, BACKWARD=backward, num_warps=1,
        )  # fmt: skip
        return found


def forward(
    x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, keep: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """y, and the states before every UNROLL-th step (rows, steps, channels, states) if to be kept."""
    plan = Plan.of(x, a, WIDE)
    y = torch.empty_like(x)
    kept = x.new_empty(
        plan.rows, triton.cdiv(plan.length, UNROLL) if keep else 0, plan.channels, plan.states,
        dtype=torch.float32,
    )  # fmt: skip
    starts = plan.carried(dt, x, b, a, backward=False)
    programs.forward[plan.grid](
        dt, x, b, c, a, x, x, x, 0, starts, kept, y, *plan.sizes,
        N=plan.states, BLOCK=plan.block, UNROLL=UNROLL, KEEP=keep, RAW=False, num_warps=1,
    )  # fmt: skip
    return y, kept


def gated(
    x: torch.Tensor, step: torch.Tensor, bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor,
    c: torch.Tensor, skip: torch.Tensor, gate: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """(y + skip x) silu(gate) with dt = softplus(step + bias); the gate may be a slice of wider rows."""
    plan = Plan.of(x, a, WIDE)
    y = torch.empty_like(x)
    starts = plan.carried(step, x, b, a, backward=False, bias=bias)
    programs.forward[plan.grid](
        step, x, b, c, a, bias, skip, gate, gate.stride(1), starts, starts, y, *plan.sizes,
        N=plan.states, BLOCK=plan.block, UNROLL=UNROLL, KEEP=False, RAW=True, num_warps=1,
    )  # fmt: skip
    return y


def backward(
    x: torch.Tensor, dt: torch.Tensor, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor,
    arriving: torch.Tensor, kept: torch.Tensor,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Gradients of x, dt, A, B and C; those of A, B and C are summed over chunks and blocks afterwards."""
    plan = Plan.of(x, a, NARROW)
    blocks = plan.grid[0]
    of_x, of_dt = torch.empty_like(x), torch.empty_like(dt)
    of_a = kept.new_empty(a.shape[0], plan.per_group * plan.chunks, *a.shape[1:])
    of_b, of_c = (kept.new_empty(blocks, *b.shape) for _ in range(2))
    beyond = plan.carried(dt, arriving, c, a, backward=True)
    programs.backward[plan.grid](
        dt, x, b, c, a, arriving, kept, beyond, of_x, of_dt, of_a, of_b, of_c, *plan.sizes,
        N=plan.states, BLOCK=plan.block, UNROLL=UNROLL, num_warps=1,
    )  # fmt: skip
    sums = of_a.sum(1), of_b.sum(0), of_c.sum(0)
    return of_x, of_dt, *(found.to(given.dtype) for found, given in zip(sums, (a, b, c), strict=True))
