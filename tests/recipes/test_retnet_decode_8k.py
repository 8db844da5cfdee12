"""RetNet: three forms of one function, a decode step that is the parallel model, and bytes that add up."""

import pytest
import torch

from tests.recipes.conftest import context_of, failed, part, value

retention = part("retnet-decode-8k", "retention")
decode = part("retnet-decode-8k", "decode")
training = part("retnet-decode-8k", "training")
CPU = torch.device("cpu")


def test_parallel_retention_is_the_papers_sum():
    q, k, v = (torch.randn(1, 2, 5, width, dtype=torch.float64) for width in (3, 3, 4))
    decay = retention.decays(2, CPU).double()
    assert decay.tolist() == [1 - 1 / 32, 1 - 1 / 64]
    out = retention.parallel(q, k, v, decay)
    expected = sum(decay[1] ** (4 - m) * (q[0, 1, 4] @ k[0, 1, m]) / 3**0.5 * v[0, 1, m] for m in range(5))
    torch.testing.assert_close(out[0, 1, 4], expected)


@pytest.mark.parametrize("chunk", [4, 8, 16])
def test_chunks_of_any_size_give_the_same(chunk):
    q, k, v = (torch.randn(2, 2, 16, 8, dtype=torch.float64) for _ in range(3))
    decay = retention.decays(2, CPU).double()
    torch.testing.assert_close(retention.chunkwise(q, k, v, decay, chunk), retention.parallel(q, k, v, decay))


def test_the_guards_see_a_decay_that_is_slightly_off(monkeypatch):
    context = context_of("retnet-decode-8k")
    retention.check(context)
    assert failed(context) == set()
    honest = retention.chunkwise
    monkeypatch.setattr(
        retention, "chunkwise", lambda q, k, v, decay, chunk: honest(q, k, v, decay * 0.99, chunk)
    )
    retention.check(context)
    assert failed(context) == {"chunkwise_is_parallel"}


def test_a_wrong_update_is_not_taken(monkeypatch):
    context = context_of("retnet-decode-8k")

    def forgets_to_decay(state, q, k, v, decay):
        return honest(state, q, k, v, torch.ones_like(decay))

    honest = retention.update
    monkeypatch.setattr(retention.kernel, "AVAILABLE", True)
    monkeypatch.setattr(retention.kernel, "update", forgets_to_decay)
    assert retention.fast_update(context)[0] == "separate operations"


def test_a_decode_step_continues_the_parallel_model():
    """Step by step through RetNet.step, against the training mixer over the whole sequence."""
    torch.manual_seed(0)
    width, tokens = 256, 6
    model = training.Model(1, width, "retention").double()
    layer = {"qkvg": model.mixers[0].enter.weight.T, "out": model.mixers[0].out.weight.T}
    layer |= {"up": model.ups[0].weight.T, "down": model.downs[0].weight.T}
    head = torch.randn(width, 7, dtype=torch.float64)
    state = torch.zeros(1, 1, 256, 512, dtype=torch.float64)
    decay = retention.decays(1, CPU).double()
    retnet = decode.RetNet([layer], head, [state], decay, retention.update)
    x = torch.randn(1, tokens, width, dtype=torch.float64)
    with torch.no_grad():
        whole = decode.normed(model(x)) @ head
        steps = torch.stack([retnet.step(x[:, n]) for n in range(tokens)], 1)
    torch.testing.assert_close(steps, whole, rtol=1e-5, atol=1e-6)


def test_bytes_at_the_papers_shape_are_the_published_saving():
    shape = decode.Shape(32, 4096, 32, 32, 128, 4 * 4096, vocabulary=32_768)
    moved = decode._bytes(shape, 8192, 8)
    assert 2 * shape.weights == pytest.approx(13.2e9, rel=0.01)
    assert moved["static"] == pytest.approx(47.8e9, rel=0.01)
    assert 2.5 < moved["static"] / moved["retnet"] < 3.1 and moved["growing"] / moved["retnet"] > 6


def test_both_models_train_the_same_number_of_weights():
    sizes = {sum(p.numel() for p in training.Model(2, 256, kind).parameters()) for kind in training.ARMS}
    assert sizes == {2 * 12 * 256**2}


def test_memory_is_counted_with_what_is_kept():
    context = context_of("retnet-decode-8k", layers=1, context=512, batches="1", batch=1)
    decode.measure(context, context.probe())
    detail = next(m["detail"] for m in context.metrics if m["name"] == "memory_saving")
    cache = 4 * 2 * 2 * 128 * 512
    assert detail["bytes"]["static"] > cache and detail["bytes"]["growing"] > detail["bytes"]["static"]
    assert value(context, "speedup_static") > 0 and failed(context) == set()
