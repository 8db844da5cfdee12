"""The selective scan in its forms, the block as it trains and as it generates, and which length counts."""

import pytest
import torch

from reproduce.recipes.blocks.tinygpt import Shape
from tests.recipes.conftest import context_of, failed, part

SLUG = "mamba-selective"


def guarded():
    context = context_of(SLUG)
    part(SLUG, "numerics").check(context)
    return failed(context)


def test_the_scans_are_exact():
    assert guarded() == set()


def test_a_scan_that_decays_one_per_cent_too_fast_is_caught(monkeypatch):
    scan = part(SLUG, "scan")
    plain = scan.sequential
    monkeypatch.setattr(scan, "selective_scan", lambda x, dt, a, b, c: plain(x, dt, a * 1.01, b, c))
    assert guarded() == {"scan_fp32", "scan_gradient"}


def test_a_parallel_scan_that_loses_the_odd_end_is_caught(monkeypatch):
    scan = part(SLUG, "scan")
    plain = scan.scan_pairs

    def short(decay, added):
        out = plain(decay, added)
        out[:, -1] = added[:, -1]
        return out

    monkeypatch.setattr(scan, "scan_pairs", short)
    assert guarded() == {"parallel_fp32"}


def test_the_scan_of_groups_uses_each_groups_rates():
    scan, numerics = part(SLUG, "scan"), part(SLUG, "numerics")
    x, dt, a, b, c = numerics.inputs((2, 4, 3, 9, 5), torch.device("cpu"))
    a[1] *= 2
    both = scan.sequential(x, dt, a, b, c)
    alone = scan.sequential(x[2:], dt[2:], a[1:], b[2:], c[2:])
    torch.testing.assert_close(both[2:], alone)


@pytest.mark.parametrize("wrong", [None, "read_through", "advance"])
def test_the_guard_notices_a_prompt_or_a_step_without_its_skip(wrong, monkeypatch):
    generator, serving = part(SLUG, "generator"), part(SLUG, "serving")
    if wrong:
        true = getattr(generator, wrong)
        monkeypatch.setattr(generator, wrong, lambda *given: true(*given[:-2], given[-2] * 0, given[-1]))
    context = context_of(SLUG)
    serving.guard(context)
    assert failed(context) == ({"generation"} if wrong else set())


def test_the_block_sees_nothing_that_comes_later():
    mamba = part(SLUG, "mamba")
    block = mamba.Mamba(Shape(1, 16, 2, 8), 0)
    x = torch.randn(1, 12, 16)
    changed = x.clone()
    changed[:, 8:] += 1
    with torch.no_grad():
        difference = (block(x) - block(changed)).abs().amax((0, 2))
    assert difference[:8].max() == 0 < difference[8:].min()


def test_the_longest_length_counts_only_while_all_shorter_ones_are_solved():
    learned, context = part(SLUG, "learned"), context_of(SLUG, length=16)
    by_length = {4: [1.0, 0.5], 8: [1.0, 1.0], 16: [0.996, 1.0], 32: [0.9, 1.0], 64: [1.0, 1.0]}
    assert [learned._longest(context, by_length, seed) for seed in range(2)] == [1.0, 1 / 16]


def test_lessons_double_up_to_the_training_length_with_as_many_tokens():
    learned, tasks = part(SLUG, "learned"), part("blocks", "tasks")
    context = context_of(SLUG, length=100, batch=4, steps=32)
    lessons = learned._lessons(context, lambda length: tasks.InductionHeads(length, 16))
    assert [lesson.task.length for lesson in lessons] == [16, 32, 64, 100]
    assert [lesson.steps for lesson in lessons] == [2, 2, 2, 32]
    assert all(lesson.task.length * lesson.examples <= 400 for lesson in lessons)
