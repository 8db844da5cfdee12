"""Chinchilla's fits: planted exponents come back, FLOP are those executed, and text is read once."""

import numpy as np
import pytest
import torch

from reproduce.recipes.blocks.fleet_learning import one_epoch
from tests.recipes.conftest import context_of, failed, part

SLUG = "chinchilla-isoflop"


def guarded():
    context = context_of(SLUG)
    grid, checks = part(SLUG, "grid"), part(SLUG, "checks")
    cells = grid.cells(context)
    checks.counted(context, cells)
    checks.planted(context, cells)
    return failed(context)


def test_flop_and_estimator_hold():
    assert guarded() == set()


def test_flop_one_per_cent_off_are_caught(monkeypatch):
    grid = part(SLUG, "grid")
    plain = grid.flop_per_byte
    monkeypatch.setattr(grid, "flop_per_byte", lambda shape: 1.01 * plain(shape))
    assert guarded() == {"flop_counted"}


def test_an_estimator_whose_optima_grow_a_tenth_too_fast_is_caught(monkeypatch):
    fitting = part(SLUG, "fitting")
    plain = fitting.optimum

    def stretched(points, x):
        found = plain(points, x)
        return fitting.Optimum(**{**found.__dict__, "x": 1.1 * found.x})

    monkeypatch.setattr(fitting, "optimum", stretched)
    assert guarded() == {"estimator"}


def test_the_envelope_follows_the_best_curve():
    fitting = part(SLUG, "fitting")

    def run(size):
        """Best of all where 6 * size^2 FLOP were spent."""
        spent = np.geomspace(1e3, 1e9, 400)
        loss = (np.log(spent) - np.log(6 * size**2)) ** 2 + 10 / np.log(spent)
        return fitting.Point(0, spent[-1], size, size, spent[-1] / 6 / size, loss[-1], spent, loss)

    points = [run(size) for size in np.geomspace(50, 12_900, 25)]
    short = [
        fitting.Point(**{**point.__dict__, "flop": 4e4 if index == 0 else point.flop})
        for index, point in enumerate(points)
    ]
    assert fitting.from_envelope(short) == pytest.approx(0.5, abs=0.03)


def test_smoothing_averages_the_last_steps_so_far():
    smoothed = part(SLUG, "training").smoothed(np.arange(1000.0))
    assert smoothed[0] == 0
    assert smoothed[4] == pytest.approx(2.0)
    assert smoothed[999] == pytest.approx(np.arange(980, 1000).mean())


def test_every_byte_is_read_once_and_the_budget_is_spent():
    grid = part(SLUG, "grid")
    context = context_of(SLUG, smallest_budget=1.2e12, budgets=5, sizes=7, bytes_per_parameter=125)
    for row in grid.cells(context):
        assert len(row) == 7
        for cell in row:
            assert cell.flop == pytest.approx(cell.budget, rel=0.02)
            assert cell.shape.head_width in (grid.NARROW, grid.HEAD)
            assert cell.shape.heads * cell.shape.head_width == cell.shape.width
    starts = one_epoch(9, 8, grid.LENGTH, seed=0).flatten()
    assert torch.equal(starts.sort().values, torch.arange(72) * grid.LENGTH)


def trained(monkeypatch, rates):
    grid, training = part(SLUG, "grid"), part(SLUG, "training")
    monkeypatch.setattr(training, "RATES", rates)
    cell = grid.Cell(1e8, grid.shape_of(7000), 4)
    text = training.Text(
        torch.randint(256, (cell.bytes + 1,)).to(torch.uint8),
        torch.randint(256, (1, 8, grid.LENGTH + 1)),
    )
    return training.run_cell(context_of(SLUG, seeds=2), cell, text, 0)


def test_a_rate_that_diverges_loses_and_the_record_stays_finite(monkeypatch):
    run = trained(monkeypatch, (1.0, float("nan")))
    assert run.best == 0
    assert run.finals[1] == part(SLUG, "training").LOST
    assert np.isfinite(run.point(0).smooth).all()


def test_the_loss_is_the_mean_of_seeds_that_differ(monkeypatch):
    run = trained(monkeypatch, (1e-9, 1.0))
    assert run.each.shape == (2, 2)
    assert run.best == 1
    assert run.each[1, 0] != run.each[1, 1]
    assert run.point(0).loss == pytest.approx(run.each[1].mean())
    assert run.spread == pytest.approx(abs(run.each[1, 0] - run.each[1, 1]) / 2**0.5 / run.each[1].mean())
