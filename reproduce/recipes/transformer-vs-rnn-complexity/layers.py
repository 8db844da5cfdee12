"""One layer of each kind, (batch, n, width) to the same: self-attention and an LSTM.

Source: arXiv:1706.03762, section 3.2; the LSTM is PyTorch's (cuDNN on a GPU).
"""

import math

import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel


def in_memory(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k' / sqrt d) v, operation by operation, with the n x n matrix in memory."""
    weights = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    return torch.softmax(weights, dim=-1) @ v


def fused(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """The same by PyTorch's flash kernel."""
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        return functional.scaled_dot_product_attention(q, k, v)


class SelfAttention(nn.Module):
    """Multi-head self-attention without a mask; `kind` names the function of this module that attends."""

    def __init__(self, width: int, heads: int, kind: str = "in_memory") -> None:
        super().__init__()
        self.heads, self.kind = heads, kind
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(globals()[self.kind](q, k, v).transpose(1, 2).flatten(2))


class Recurrent(nn.Module):
    """An LSTM of one layer, all steps in one call of the library."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]

    def step_by_step(self, x: torch.Tensor) -> torch.Tensor:
        """The same written out: each step's gates need the state that the step before has left."""
        weights = [parameter for _, parameter in sorted(self.lstm.named_parameters())]
        bias_hidden, bias_input, hidden_weight, input_weight = weights[0], weights[1], weights[2], weights[3]
        state = cell = x.new_zeros(x.shape[0], x.shape[2])
        outputs = []
        for token in functional.linear(x, input_weight, bias_input).unbind(1):
            gates = token + functional.linear(state, hidden_weight, bias_hidden)
            enter, forget, new, leave = gates.chunk(4, dim=-1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            state = leave.sigmoid() * cell.tanh()
            outputs.append(state)
        return torch.stack(outputs, dim=1)


def attention_flop(width: int, length: int) -> float:
    """FLOP of a forward pass over one sequence: 4 n^2 d for the scores and sums, 8 n d^2 for projections."""
    return 4 * length**2 * width + 8 * length * width**2


def recurrent_flop(width: int, length: int) -> float:
    """FLOP of a forward pass over one sequence: four gates, each from the input and from the state."""
    return 16 * length * width**2
