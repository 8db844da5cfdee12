"""Self-attention against recurrence: right layers, Table 1's counts, and guards that notice a broken layer."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part, value

SLUG = "transformer-vs-rnn-complexity"


def test_both_layers_pass_their_guards():
    context = context_of(SLUG)
    part(SLUG, "quality").correct(context)
    assert failed(context) == set()


def test_attention_with_a_scale_that_is_one_percent_off_fails(monkeypatch):
    layers, context = part(SLUG, "layers"), context_of(SLUG)
    right = layers.in_memory
    monkeypatch.setattr(
        layers, "in_memory", lambda q, k, v: right(q * (1.01 if q.dtype == torch.float32 else 1), k, v)
    )
    part(SLUG, "quality").correct(context)
    assert failed(context) == {"attention_error"}


def test_an_lstm_that_forgets_to_forget_fails(monkeypatch):
    layers, context = part(SLUG, "layers"), context_of(SLUG)
    monkeypatch.setattr(layers.Recurrent, "forward", lambda self, x: self.lstm(x.flip(1))[0])
    part(SLUG, "quality").correct(context)
    assert failed(context) == {"lstm_written_out"}


@pytest.mark.parametrize("links", [1, 7])
def test_a_chain_is_as_long_as_its_dependent_operations(links):
    def work():
        x = torch.ones(3)
        aside = x + 1
        for _ in range(links):
            x = (x * 2).view(3, 1).view(3)
        return aside

    # torch.ones is a chain's start; the sum aside waits for nothing else.
    assert part(SLUG, "dependence").longest_chain(work) == max(links, 1)


def test_sequential_operations_grow_as_table_1_says():
    context = context_of(SLUG, width=16)
    part(SLUG, "dependence").count(context)
    assert value(context, "sequential_ops") == pytest.approx(0, abs=1e-9)
    assert value(context, "sequential_ops_recurrent") == pytest.approx(1, abs=0.02)
