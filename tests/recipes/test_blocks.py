"""The shared blocks do what they say: the small transformer, learning, text, counts, orderings."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from reproduce.recipes.blocks import counting, ordering
from reproduce.recipes.blocks.learning import Curve, Plan, train, validation_loss
from reproduce.recipes.blocks.text import Text
from reproduce.recipes.blocks.tinygpt import SMALL, Cache, Shape, TinyGPT, attend, bias_of

CPU = torch.device("cpu")


def shape(**over):
    return Shape(**{"layers": 2, "width": 32, "heads": 4, "length": 48} | over)


@pytest.mark.parametrize("positions", ["rope", "alibi", "sinusoidal", "learned", "none"])
@pytest.mark.parametrize("window", [None, 8])
def test_a_cache_gives_the_same_logits_as_the_whole_sequence_at_once(positions, window):
    given = shape(positions=positions, window=window, kv_heads=2)
    model = TinyGPT(given).double()
    tokens = torch.randint(256, (2, 40))
    cache = Cache.empty(given, 2, 48, torch.float64, CPU)
    cuts = [(0, 20), (20, 33), *((at, at + 1) for at in range(33, 40))]
    parts = [model(tokens[:, a:b], cache) for a, b in cuts]
    assert (model(tokens) - torch.cat(parts, 1)).abs().max() < 1e-12
    assert cache.filled == 40


@pytest.mark.parametrize("window", [None, 5])
def test_no_token_sees_the_future_or_beyond_its_window(window):
    given = shape(window=window, layers=1, positions="none")
    model, tokens = TinyGPT(given).double(), torch.randint(256, (1, 20))
    changed = tokens.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 256
    moved = (model(tokens) - model(changed)).abs().amax(-1)[0] > 0
    last = 20 if window is None else 10 + window
    assert moved.tolist() == [10 <= at < last for at in range(20)]


def test_attention_is_the_formula_of_the_paper():
    q, k, v = (torch.randn(1, 2, 9, 4, dtype=torch.float64) for _ in range(3))
    scores = q @ k.transpose(-1, -2) / 2
    scores = scores.masked_fill(torch.ones(9, 9).triu(1).bool(), -math.inf)
    assert torch.allclose(attend(q, k, v), scores.softmax(-1) @ v, atol=1e-12)
    assert bias_of(shape(), 9, 9, CPU) is None


def test_the_presets_have_the_sizes_that_they_name():
    assert TinyGPT(SMALL).size() == pytest.approx(25e6, rel=0.02)
    model = TinyGPT(shape())
    assert model.size() - model.size(embeddings=False) == 256 * 32
    assert counting.parameters(model) == model.size()
    assert counting.parameters(model, ["embedding"]) == model.size(embeddings=False)


def test_flop_of_a_product_are_two_for_each_multiply_add():
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    assert counting.flop(lambda: a @ b) == 2 * 3 * 5 * 7
    assert counting.on_meta(lambda: torch.nn.Linear(10**5, 10**5)).weight.device.type == "meta"


def test_training_learns_and_repeats_itself():
    text = Text.from_bytes(b"abcabcabc" * 500, b"abcabcabc" * 60, CPU)
    held = text.held_out(8, 16)
    curves = []
    for _ in range(2):
        model = TinyGPT(shape(layers=1))
        plan = Plan(40, 1e-2, evaluations=4)
        curves.append(
            train(model, lambda _, g: text.draw(8, 16, g), plan, lambda m: validation_loss(m, held, parts=2))
        )
    assert curves[0].marks == [10, 20, 30, 40]
    assert curves[0].final < 1.0 < 5.0 < curves[0].losses[0]
    assert curves[0].losses == curves[1].losses


def test_validation_loss_is_the_mean_over_all_tokens():
    text = Text.from_bytes(bytes(range(256)) * 4, bytes(range(256)) * 4, CPU)
    model, held = TinyGPT(shape()), text.held_out(8, 16)
    logits = model(held[:, :-1])
    expected = functional.cross_entropy(logits.flatten(0, 1), held[:, 1:].flatten()).item()
    assert validation_loss(model, held, parts=4) == pytest.approx(expected, rel=1e-6)


def test_windows_reach_both_ends_of_a_text():
    text = Text.from_bytes(bytes(range(20)), bytes(range(20)), CPU)
    assert text.held_out(2, 9)[:, [0, -1]].tolist() == [[0, 9], [10, 19]]
    drawn = text.draw(500, 9, torch.Generator().manual_seed(0))
    assert (drawn.min().item(), drawn.max().item()) == (0, 19)


def test_steps_to_a_target_are_interpolated_and_may_never_come():
    found = Curve(losses=[3.0], marks=[10, 20], validation=[2.0, 1.0], seconds=[1.0, 3.0])
    assert (found.steps_to(1.5), found.seconds_to(1.5)) == (15.0, 2.0)
    assert (found.steps_to(2.5), found.steps_to(0.5)) == (10.0, None)


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [([3.0, 2.0, 1.0], False), ([3.0, 1.0, 2.5], True), ([3.0, math.nan], True), ([3.0, 2.0, 3.9], False)],
)
def test_a_spike_or_a_loss_that_is_no_number_is_a_divergence(losses, diverged):
    assert Curve(losses=losses).diverged() is diverged


def test_the_rate_rises_then_falls_to_its_floor():
    plan = Plan(100, 1.0, warm_up=0.1, floor=0.2)
    scales = [plan.scale(step) for step in range(101)]
    assert scales[0] == pytest.approx(0.1) and max(scales) == scales[9] == 1.0
    assert scales[100] == pytest.approx(0.2) and scales[10:] == sorted(scales[10:], reverse=True)


def test_the_paired_test_agrees_with_the_tables_of_student():
    # t = 2.132 is the 95th percentile for 4 degrees of freedom, 2.353 for 3.
    for t, count in ((2.132, 5), (2.353, 4)):
        values = np.linspace(-1, 1, count)
        spread = values.std(ddof=1) / math.sqrt(count)
        assert ordering.paired_p(values + t * spread) == pytest.approx(0.05, abs=2e-4)
    assert ordering.paired_p([1.0, 1.0, 1.0]) == 0.0
    with pytest.raises(ValueError, match="three pairs"):
        ordering.paired_p([1.0, 2.0])


def test_an_ordering_holds_wholly_in_its_main_part_or_not_at_all():
    low, high = [1.0, 1.1, 0.9, 1.0, 1.05], [2.0, 2.2, 1.9, 2.1, 2.0]
    main, other = ordering.Pair("main", low, high), ordering.Pair("other", high, low)
    assert ordering.order_holds(main)[0] == 1.0
    assert ordering.order_holds(main, other)[0] == 0.5
    assert ordering.order_holds(other, main)[0] == 0.0
