"""The zoo's shapes hold as many parameters as their papers and checkpoints say, and compute what they should."""

from dataclasses import replace

import pytest
import torch

from reproduce.recipes.blocks import counting, parts, zoo

CPU, META = torch.device("cpu"), torch.device("meta")
PUBLISHED = {
    "bert-base": 109_482_240,
    "bert-large": 335_141_888,
    "distilbert": 66_362_880,
    "minilm-6x768": 66_955_008,
    "minilm-6x384": 22_713_216,
    "albert-large": 17_683_968,
    "gpt2-medium": 354_823_168,
    "opt-13b": 12_853_473_280,
    "opt-30b": 29_974_540_288,
    "llama-7b": 6_738_415_616,
    "mixtral-8x7b": 46_702_792_704,
    "deepseek-67b": 67_425_001_472,
}
T5_XXL = 11_135_332_352


def made(build, seed=0):
    return zoo.materialise(build, CPU, torch.float32, seed)


def counted(name):
    build = (
        (lambda: zoo.Encoder(zoo.ENCODERS[name]))
        if name in zoo.ENCODERS
        else (lambda: zoo.Decoder(zoo.DECODERS[name]))
    )
    return counting.parameters(zoo.materialise(build, META, torch.float32))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shape_holds_exactly_the_published_parameters(name):
    assert counted(name) == PUBLISHED[name]


def test_the_heads_of_pretraining_hold_the_published_parameters():
    model = zoo.materialise(lambda: zoo.Pretraining(zoo.ENCODERS["bert-base"]), META, torch.float32)
    assert counting.parameters(model) == 110_106_428


def test_gpt3_has_174_600_million_as_its_paper_prints_and_a_layer_is_a_ninety_sixth_of_its_layers():
    shape = zoo.DECODERS["gpt3-175b"]
    assert round(counted("gpt3-175b") / 1e8) * 100 == 174_600
    layer = counting.on_meta(lambda: zoo.DecoderLayer(shape, shape.width))
    assert counting.parameters(layer) == 12 * shape.width**2 + 13 * shape.width


def test_t5_is_its_decoder_and_an_encoder_of_the_same_layers_without_cross_attention():
    shape = zoo.DECODERS["t5-xxl"]
    layer = counting.on_meta(lambda: zoo.DecoderLayer(replace(shape, cross=False), shape.width))
    encoder = shape.layers * counting.parameters(layer) + shape.width
    assert counted("t5-xxl") + encoder + 2 * 32 * shape.heads == T5_XXL


def test_caches_hold_what_the_papers_print():
    assert zoo.CACHES["deepseek-67b"].bytes_per_token() == 389_120
    assert zoo.CACHES["deepseek-v2"].bytes_per_token() == 69_120
    assert zoo.CACHES["deepseek-v2"].bytes_per_token(bits=6) == 25_920


def test_a_shared_layer_is_the_same_as_as_many_equal_layers():
    shape = zoo.ENCODERS["tiny-albert"]
    shared = made(lambda: zoo.Encoder(shape))
    apart = made(lambda: zoo.Encoder(replace(shape, shared=False)), seed=1)
    weights = shared.state_dict()
    apart.load_state_dict(
        {name: weights[".".join(["layers.0", *name.split(".")[2:]]) if name.startswith("layers") else name]
         for name in apart.state_dict()}
    )  # fmt: skip
    tokens = torch.randint(shape.vocabulary, (2, 9))
    torch.testing.assert_close(shared(tokens), apart(tokens))


def test_a_decoder_sees_no_later_token_and_an_encoder_does():
    tokens = torch.randint(512, (1, 8))
    later = tokens.clone()
    later[0, 7] = (later[0, 7] + 1) % 512
    decoder = made(lambda: zoo.Decoder(zoo.DECODERS["tiny"]))
    torch.testing.assert_close(decoder(tokens)[:, :7], decoder(later)[:, :7])
    encoder = made(lambda: zoo.Encoder(zoo.ENCODERS["tiny"]))
    assert (encoder(tokens) - encoder(later))[:, 0].abs().max() > 1e-4


def test_rotary_scores_depend_on_the_distance_alone():
    turn = parts.turns(12, 32, CPU)
    q, k = (torch.randn(1, 1, 1, 32).expand(1, 1, 12, 32) for _ in range(2))
    scores = (parts.rotate(q, turn) @ parts.rotate(k, turn).transpose(-2, -1))[0, 0]
    torch.testing.assert_close(scores.diagonal(2), scores[0, 2].expand(10), rtol=1e-4, atol=1e-4)
    assert scores[0].std() > 1e-2


def test_experts_equal_the_sum_over_the_two_best_for_each_token():
    nets = [parts.FeedForward(8, 16, "silu", gated=True, bias=False) for _ in range(4)]
    model, x = parts.Experts(8, nets, chosen=2), torch.randn(3, 5, 8)
    scores, picks = model.router(x).topk(2, dim=-1)
    every = torch.stack([net(x) for net in nets], dim=-2)
    expected = (scores.softmax(-1)[..., None] * every.gather(-2, picks[..., None].expand(3, 5, 2, 8))).sum(-2)
    torch.testing.assert_close(model(x), expected)


def test_cross_attention_reads_the_memory_and_grouped_heads_and_pruned_layers_fit():
    shape = zoo.DecoderShape(2, 64, 4, 96, 100, head_width=16, kv_heads=2, cross=True)
    model = made(lambda: zoo.Decoder(shape, {1: replace(shape, heads=2, kv_heads=1, hidden=40)}))
    tokens, memory = torch.randint(100, (2, 5)), torch.randn(2, 7, 64)
    assert (model(tokens, memory=memory) - model(tokens, memory=-memory)).abs().max() > 1e-5
    assert model.layers[1].feed_forward.up.out_features == 40


def test_random_weights_are_repeatable_and_norms_start_at_one():
    first, second = (made(lambda: zoo.Encoder(zoo.ENCODERS["tiny"])) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.norm.weight.eq(1).all()
    assert first.norm.bias.eq(0).all()
    assert 0.018 < first.tokens.weight.std() < 0.022
