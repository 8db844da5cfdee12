"""The Hyena operator and standard attention against 64-bit arithmetic."""

import torch

from tests.recipes.conftest import context_of, failed, part

SLUG = "hyena-crossover"


def guarded():
    context = context_of(SLUG)
    part(SLUG, "numerics").check(context)
    return failed(context)


def test_both_operators_and_their_gradients_are_exact():
    assert guarded() == set()


def test_a_convolution_that_wraps_around_is_caught(monkeypatch):
    def circular(padded, kernel):
        length = kernel.shape[-1]
        spectrum = torch.fft.rfft(padded[..., :length]) * torch.fft.rfft(kernel)
        return torch.fft.irfft(spectrum, n=length)

    monkeypatch.setattr(part(SLUG, "hyena"), "convolve", circular)
    assert guarded() == {"convolution_exact", "gradient_exact"}


def test_a_wrong_derivative_is_caught(monkeypatch):
    plain = part(SLUG, "hyena").LongConvolution

    class Wrong(torch.autograd.Function):
        forward = plain.forward

        @staticmethod
        def backward(ctx, gradient):
            of_padded, of_kernel = plain.backward(ctx, gradient)
            return of_padded, of_kernel * 1.01

    monkeypatch.setattr(part(SLUG, "hyena"), "convolve", Wrong.apply)
    assert guarded() == {"gradient_exact"}


def test_standard_attention_without_its_mask_is_caught(monkeypatch):
    module = part(SLUG, "attention")
    plain = module.standard
    monkeypatch.setattr(module, "standard", lambda q, k, v, later: plain(q, k, v, later & False))
    assert guarded() == {"standard_exact"}


def test_standard_attention_in_groups_of_heads_is_the_same(monkeypatch):
    module = part(SLUG, "attention")
    monkeypatch.setattr(module, "MATRICES_BYTES", 1)
    assert guarded() == set()
