"""The algorithmic tasks: their answers can be found by the rule that defines them, and nowhere else."""

import pytest
import torch
from torch import nn

from reproduce.recipes.blocks import tasks
from reproduce.recipes.blocks.tasks import ASKED_NOT, AssociativeRecall, InductionHeads, SelectiveCopy

TASKS = [InductionHeads(30, 20), AssociativeRecall(10, 10), SelectiveCopy(40, 6, 12)]


def batch_of(task, count=200, seed=0):
    return tasks.held_out(task, count, torch.device("cpu"), seed)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_ids_and_answers_are_in_the_vocabulary_and_seeded(task):
    ids, targets = batch_of(task)
    asked = targets != ASKED_NOT
    assert ids.dtype == torch.int64
    assert ids.min() >= 0 and ids.max() < task.vocabulary
    assert targets[asked].min() >= 0 and targets[asked].max() < task.vocabulary
    assert torch.equal(batch_of(task), torch.stack((ids, targets)))
    assert not torch.equal(batch_of(task, seed=1)[0], ids)


def test_induction_asks_what_followed_the_mark():
    for ids, targets in batch_of(InductionHeads(30, 20)).transpose(0, 1).tolist():
        first, last = (place for place, token in enumerate(ids) if token == 19)
        assert last == 29
        assert targets == [ASKED_NOT] * 29 + [ids[first + 1]]


def test_the_mark_of_induction_comes_at_every_place():
    ids, _ = batch_of(InductionHeads(8, 4), 500)
    assert set((ids == 3).int().argmax(1).tolist()) == set(range(6))


def test_recall_asks_for_the_value_of_a_key_that_was_shown():
    for ids, targets in batch_of(AssociativeRecall(10, 10)).transpose(0, 1).tolist():
        book = dict(zip(ids[:-1:2], ids[1::2], strict=True))
        pairs = list(zip(ids[:-1:2], ids[1::2], strict=True))
        assert all(key < 5 <= book[key] == found for key, found in pairs)
        assert targets == [ASKED_NOT] * 18 + [book[ids[-1]]]


def test_copy_asks_for_what_was_no_noise_in_order():
    for ids, targets in batch_of(SelectiveCopy(40, 6, 12)).transpose(0, 1).tolist():
        assert ids[40:] == [11] * 6
        assert targets == [ASKED_NOT] * 40 + [token for token in ids[:40] if token != 10]


def test_training_batches_are_all_different_and_repeat_with_the_seed():
    draw = tasks.drawing(InductionHeads(30, 20), 4, torch.device("cpu"))
    runs = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(3)
        runs.append([draw(step, generator).clone() for step in range(tasks.AHEAD + 2)])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
    assert len({str(batch.tolist()) for batch in runs[0]}) == tasks.AHEAD + 2
    assert runs[0][0].shape == (2, 4, 30)


def test_loss_and_accuracy_count_only_what_is_asked():
    class Oracle(nn.Module):
        def forward(self, ids):
            answers = targets.clamp(min=0)
            answers[0] = (answers[0] + 1) % 20
            return nn.functional.one_hot(answers, 20).float() * 50

    batch = batch_of(InductionHeads(30, 20), 4)
    targets = batch[1]
    assert tasks.accuracy(Oracle(), batch).item() == 0.75
    assert tasks.loss(Oracle(), batch).item() == pytest.approx(50 / 4, rel=1e-4)
