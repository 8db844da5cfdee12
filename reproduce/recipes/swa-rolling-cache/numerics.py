"""The window's edges: every kernel, and the rolling cache, against 64-bit arithmetic."""

import torch

from reproduce.recipes.context import Context

from . import attention, rolling

LIMIT = 2e-3  # RECIPES; of relative norms, in half precision
BEYOND = 300  # tokens that the window leaves behind at the end


def check(context: Context, arms: dict[str, attention.Windowed]) -> None:
    """Guards window_exact, window_gradient and rolling_exact, over all arms, in the heads that are timed."""
    window = context["window"]
    length = -(-(window + BEYOND) // attention.BLOCK) * attention.BLOCK
    with torch.random.fork_rng():
        torch.manual_seed(0)
        given = attention.random(context, length)
    exact, *exact_gradients = _pass(_exact, [tensor.double() for tensor in given], window)
    errors, slopes = {}, {}
    for name, attend in arms.items():
        out, *gradients = _pass(attend, given, window)
        errors[name] = _relative(out, exact)
        slopes[name] = max(_relative(*pair) for pair in zip(gradients, exact_gradients, strict=True))
    worst = max(errors, key=errors.__getitem__)
    context.guard("window_exact", errors[worst], LIMIT, f"Output against 64 bits, relative norm; {worst}.")
    worst = max(slopes, key=slopes.__getitem__)
    context.guard("window_gradient", slopes[worst], 2 * LIMIT, f"Gradients, the same way; {worst}.")
    # Each length of a cache that still fills is a plan of its own for cuDNN, which takes long to make.
    asked = sorted({*range(16), *range(0, window, window // 16), *range(window - 16, length)})
    with torch.no_grad():
        rolled = rolling.generate(window, *given, context.device, set(asked))
    detail = (
        f"{length} tokens one by one through {window} slots, against attention with everything kept, "
        f"at {len(asked)} of them: all from where the buffer wraps."
    )
    context.guard("rolling_exact", _relative(rolled, exact[:, :, asked]), LIMIT, detail)


def _exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int) -> torch.Tensor:
    """By the definition, one key head after the other."""
    place, mixed = torch.arange(q.shape[2], device=q.device), []
    hidden = (place[:, None] < place) | (place[:, None] >= place + window)
    for rows, keys, values in zip(q.chunk(k.shape[1], 1), k.split(1, 1), v.split(1, 1), strict=True):
        scores = (rows @ keys.mT * q.shape[-1] ** -0.5).masked_fill(hidden, -torch.inf)
        mixed.append(torch.softmax(scores, dim=-1) @ values)
    return torch.cat(mixed, dim=1)


def _pass(attend: attention.Windowed, given: list[torch.Tensor], window: int) -> tuple[torch.Tensor, ...]:
    """The output, and the gradients of its weighted sum."""
    given = [tensor.detach().requires_grad_() for tensor in given]
    out = attend(*given, window)
    weights = torch.linspace(-1, 1, out.numel(), device=out.device).view(out.shape).to(out.dtype)
    return (out.detach(), *torch.autograd.grad(out, given, weights))


def _relative(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found - exact).norm() / exact.norm()).item()
