"""DistilBERT is half of BERT-base, by weights and by features, and the pairs are as long as those of STS-B."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part, value

SLUG = "distilbert-size-speed"
models, speed = (part(SLUG, name) for name in ("models", "speed"))


@pytest.fixture(scope="module")
def built():
    return models.build("eighth", torch.device("cpu"))


def test_the_size_is_that_of_the_published_checkpoints():
    context = context_of(SLUG)
    models.count(context)
    assert value(context, "size") == 66_362_880 / 109_482_240


@pytest.mark.parametrize("broken", [False, True])
def test_a_student_with_the_wrong_layer_fails_the_guard(monkeypatch, built, broken):
    if broken:
        true = models._taught

        def swapped(teacher):
            kept = true(teacher)
            name = "layers.1.attention.out.weight"
            return kept | {name: teacher[name]}  # BERT's layer 1 instead of its layer 2

        monkeypatch.setattr(models, "_taught", swapped)
    context = context_of(SLUG)
    models.check(context, built)
    assert ("half_of_bert" in failed(context)) == broken


def test_pairs_have_the_stated_mean_length_and_differ():
    lengths = speed.lengths_of_pairs(1500)
    assert abs(sum(lengths) / len(lengths) - speed.MEAN_TOKENS) < 1
    assert len(set(lengths)) > 20
    assert min(lengths) >= speed.SHORTEST


def test_the_roofline_says_half_the_time_for_half_the_layers(built):
    ceilings = part(SLUG, "speed").Probe(half=1e12, single=1e12, eighth=None, copy=1e15, launch=0.0)
    least = {name: speed._least(built, name, 31, ceilings) for name in ("bert-base", "distilbert")}
    assert least["bert-base"] / least["distilbert"] == pytest.approx(2.0, rel=0.01)


def test_every_arm_passes_the_same_pair_in_the_same_call(built):
    pairs = [torch.randint(1000, (1, length)) for length in (8, 12)]
    first, again = (speed._pass(built["distilbert"], pairs, call) for call in (1, 3))
    torch.testing.assert_close(first, again)
    assert first.shape == (1, built["distilbert"].shape.width)
