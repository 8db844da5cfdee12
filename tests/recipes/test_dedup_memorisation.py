"""Duplicates are found where they were planted and nowhere else; copies are counted; guards see mistakes."""

import numpy as np
import pytest
import torch

from reproduce.recipes.blocks.fleet import Fleet
from reproduce.recipes.blocks.tinygpt import Shape
from tests.recipes.conftest import context_of, failed, part

SLUG = "dedup-memorisation"
duplicates, planting, run, speaking = (
    part(SLUG, name) for name in ("duplicates", "planting", "run", "speaking")
)


def test_prefix_ranks_sort_as_suffixes_do():
    text = torch.randint(97, 99, (300,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    content = bytes(text.tolist())
    ranks = duplicates.prefix_ranks(text, 11)
    prefixes = [content[i : i + 11] for i in range(300)]
    assert (torch.tensor([prefixes.index(p) for p in prefixes]) < torch.arange(300)).any()
    order = {p: i + 1 for i, p in enumerate(sorted(set(prefixes)))}
    assert ranks.tolist() == [order[p] for p in prefixes]


def test_repeated_substrings_are_marked_but_for_the_first():
    random = np.random.default_rng(0)
    documents = torch.from_numpy(random.integers(97, 123, (4, 64)).astype(np.uint8))
    documents[2, 10:40] = documents[0, 20:50]
    documents[3, :15] = documents[1, :15]  # shorter than asked for
    found = duplicates.repeated_substrings(documents, 20)
    expected = torch.zeros(4, 64, dtype=torch.bool)
    expected[2, 10:40] = True
    assert torch.equal(found, expected)


def test_equal_hashes_estimate_the_similarity_of_shingles():
    original = planting.plant(100, 2).validation[10:40]
    copies = planting.changed(original, np.random.default_rng(1))
    hashes = [duplicates.signatures(torch.from_numpy(d)) for d in (original, copies)]
    estimated = (hashes[0] == hashes[1]).float().mean(1)

    def shingles(row):
        return {row[i : i + 5].tobytes() for i in range(len(row) - 4)}

    pairs = [(shingles(a), shingles(b)) for a, b in zip(original, copies, strict=True)]
    truth = torch.tensor([len(a & b) / len(a | b) for a, b in pairs])
    assert float(estimated.mean()) == pytest.approx(float(truth.mean()), abs=0.02)
    assert float((estimated - truth).abs().max()) < 0.1
    assert not duplicates.repeated_substrings(torch.from_numpy(np.concatenate((original, copies)))).any()


def test_detectors_that_overlook_copies_fail_the_guards(monkeypatch):
    planted = planting.plant(60, 12)
    documents = torch.from_numpy(planted.documents)
    context = context_of(SLUG)
    run.clean(context, planted, documents)
    assert failed(context) == set()
    monkeypatch.setattr(duplicates, "SIMILAR", 0.95)
    monkeypatch.setattr(duplicates, "repeated_substrings", lambda d: torch.zeros_like(d, dtype=torch.bool))
    broken = context_of(SLUG)
    run.clean(broken, planted, documents)
    assert failed(broken) == {"exact_recall", "near_recall"}
    monkeypatch.setattr(duplicates, "SIMILAR", 0.0)
    monkeypatch.setattr(duplicates, "ROWS", 1)
    run.clean(broken, planted, documents)
    assert "near_precision" in failed(broken)


def test_copied_bytes_are_those_of_long_known_spans():
    random = np.random.default_rng(3)
    documents = torch.from_numpy(random.integers(97, 123, (5, 512)).astype(np.uint8))
    said = torch.from_numpy(random.integers(97, 123, (2, 255)).astype(np.uint8))
    said[0, 100:170] = documents[3, 7:77]
    said[1, 20:69] = documents[2, 9:58]  # one byte too short
    found = speaking.copied(said, speaking.known_spans(documents))
    expected = torch.zeros(2, 255, dtype=torch.bool)
    expected[0, 100:170] = True
    assert torch.equal(found, expected)


def test_models_say_what_is_likeliest():
    shape = Shape(layers=1, width=16, heads=1, length=40, positions="learned")
    model = Fleet(shape, [0], torch.device("cpu")).member(0)
    prompts = torch.randint(256, (3, 5), generator=torch.Generator().manual_seed(0))
    said = speaking.speak(model, prompts, 6, None)
    whole = torch.cat((prompts, said.long()), dim=1)
    assert torch.equal(model(whole)[:, 4:-1].argmax(-1), said.long())
    assert not torch.equal(speaking.speak(model, prompts, 6, 1), speaking.speak(model, prompts, 6, 2))


def test_text_is_drawn_from_the_likeliest_bytes(monkeypatch):
    shape = Shape(layers=1, width=16, heads=1, length=40, positions="learned")
    model = Fleet(shape, [0], torch.device("cpu")).member(0)
    begin = torch.full((64, 1), ord("\n"))
    monkeypatch.setattr(speaking, "TOP", 3)
    likely = set(model(begin)[0, -1].topk(3).indices.tolist())
    assert set(speaking.speak(model, begin, 1, 0).flatten().tolist()) == likely


def test_a_baseline_that_copies_nothing_fails_its_guard():
    for shares, caught in (([0.05, 0.02, 0.0], set()), ([8e-6] * 3, {"memorised"})):
        context = context_of(SLUG)
        context.preset = "full"
        run.guard_memorised(context, shares)
        assert failed(context) == caught
