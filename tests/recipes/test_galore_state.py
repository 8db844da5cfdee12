"""galore-state: bases and updates are right, guards notice when not, and states are as large as the formula says."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "galore-state"
galore, llama, numerics, states = (part(SLUG, name) for name in ("galore", "llama", "numerics", "states"))


def test_bases_are_orthonormal_and_full_rank_is_adamw():
    context = context_of(SLUG)
    numerics.check(context)
    assert len(context.guards) == 4
    assert failed(context) == set()


@pytest.mark.parametrize(
    ("name", "broken", "guard"),
    [
        ("leading", lambda matrix, rank: torch.linalg.qr(matrix)[0][:, -rank:], "basis_is_leading"),
        (
            "sketched",
            lambda matrix, rank: matrix[:, :rank] / matrix[:, :rank].norm(dim=0),
            "sketched_orthonormal",
        ),
    ],
)
def test_the_guards_notice_a_wrong_basis(name, broken, guard, monkeypatch):
    monkeypatch.setattr(galore, name, broken)
    context = context_of(SLUG)
    numerics.check(context)
    assert failed(context) == {guard}


def test_the_guard_notices_a_forgotten_transpose_of_tall_matrices(monkeypatch):
    up = galore.GaLore._up

    def wrong(self, move, parameter, state):
        found = up(self, move, parameter, state)
        return found if parameter.shape[0] <= parameter.shape[1] else found.flip(0)

    monkeypatch.setattr(galore.GaLore, "_up", wrong)
    context = context_of(SLUG)
    numerics.check(context)
    assert failed(context) == {"full_rank_is_adamw"}


def test_states_at_seven_billion_parameters_are_those_of_the_paper():
    wide, narrow = (states.held("7b", arm) for arm in ("adamw", "galore"))
    assert wide == pytest.approx(states._formula("7b", rank=None), rel=1e-3)
    assert narrow == pytest.approx(states._formula("7b"), rel=1e-3)
    assert 1 - narrow / wide == pytest.approx(0.655, rel=0.05)
