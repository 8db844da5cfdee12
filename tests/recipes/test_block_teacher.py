"""The cached teacher: trained once, trusted only while its digest fits, never an obstacle."""

import pytest
import torch

from reproduce.recipes.blocks import teacher
from reproduce.recipes.blocks.learning import Plan
from reproduce.recipes.blocks.tinygpt import Shape
from tests.recipes.conftest import context_of


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(teacher.SHAPES, "smoke", Shape(layers=1, width=32, heads=1, length=32))
    monkeypatch.setitem(teacher.PLANS, "smoke", Plan(steps=15, rate=1e-2, evaluations=1))
    return tmp_path / "spectrum" / "teachers"


def test_it_is_trained_once_and_then_read_back_the_same(small):
    first, second = (context_of("lora-memory") for _ in range(2))
    made, read = teacher.teacher(first), teacher.teacher(second)
    found = [context.data["teacher"] for context in (first, second)]
    assert [data["origin"] for data in found] == ["trained in this run", "cache"]
    assert found[0]["sha256"] == found[1]["sha256"]
    assert found[0]["validation_nats_per_byte"] == found[1]["validation_nats_per_byte"] < 5.0
    same = zip(made.model.parameters(), read.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert made.model.head.weight is made.model.embedding.weight


def test_a_checkpoint_whose_bytes_changed_is_not_used(small):
    teacher.teacher(context_of("lora-memory"))
    (path,) = small.glob("*.pt")
    spoilt = bytearray(path.read_bytes())
    spoilt[-200] ^= 1
    path.write_bytes(spoilt)
    again = context_of("lora-memory")
    teacher.teacher(again)
    assert again.data["teacher"]["origin"] == "trained in this run"
    assert teacher._cached(path) is not None


def test_a_cache_that_cannot_be_written_is_only_said(small, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    context = context_of("lora-memory")
    teacher.teacher(context)
    assert any("not kept" in line for line in context.lines)


def test_seeds_share_the_held_out_text_without_overlap(small):
    made = teacher.teacher(context_of("lora-memory"))
    shares = [made.held_out(seed, 5) for seed in range(5)]
    assert sum(len(share) for share in shares) == len(made.held)
    assert len({len(share) for share in shares}) == 1
    assert [name for name, _ in teacher.linears(made.model)][:2] == ["0.mixer.query", "0.mixer.key"]
