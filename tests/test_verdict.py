"""Verdicts, rule by rule: what a measured interval says about a claimed number."""

import pytest

from reproduce.verdict import Claimed, Measured, judge


def claimed(value, **over):
    given = {"low": value, "high": value, "better": "higher", "kind": "ratio", "range_printed": False}
    return Claimed(value, **{**given, **over})


def measured(value, half=0.0, noise=0.0):
    return Measured(value, value - half, value + half, noise)


@pytest.mark.parametrize(
    ("claim", "measure", "verdict"),
    [
        (claimed(4.0), measured(4.0, 0.1), "reproduced"),
        (claimed(4.0), measured(9.0, 0.1), "reproduced"),
        (claimed(4.0), measured(3.1, 0.01), "reproduced"),  # ln 3.1 / ln 4 = 0.816
        (claimed(4.0), measured(3.1, 0.2), "same_direction"),  # the interval's lower end is below 0.8
        (claimed(4.0), measured(2.0, 0.1), "same_direction"),
        (claimed(4.0), measured(1.2, 0.05), "not_reproduced"),
        (claimed(4.0), measured(0.5, 0.05), "not_reproduced"),
        (claimed(4.0), measured(1.6, 0.7), "inconclusive"),  # holds 0.9, which is no gain at all
        (claimed(4.0), Measured(1.4, 0.5, 3.5), "inconclusive"),  # no gain and nearly the whole, both inside
        (claimed(1.05), measured(1.05, 0.001, noise=0.06), "inconclusive"),  # the claim is inside the noise
        (claimed(1.0), measured(1.0), "not_comparable"),
        (claimed(0.25, better="lower"), measured(0.25, 0.01), "reproduced"),
        (claimed(0.25, better="lower"), measured(0.5, 0.01), "same_direction"),
        (claimed(0.25, better="lower"), measured(2.0, 0.01), "not_reproduced"),
        # A range that the paper prints counts from its weakest end; an editor's never loosens.
        (claimed(4.0, low=2.0, high=5.0, range_printed=True), measured(1.8, 0.01), "reproduced"),
        (claimed(4.0, low=2.0, high=5.0), measured(1.8, 0.01), "same_direction"),
    ],
)
def test_ratio(claim, measure, verdict):
    assert judge(claim, measure, "ratio").code == verdict


@pytest.mark.parametrize(
    ("claim", "measure", "verdict"),
    [
        (claimed(0.2, low=0.17, high=0.23), measured(0.22), "reproduced"),
        (claimed(0.2, low=0.17, high=0.23), measured(0.25), "reproduced"),  # beyond, in the claimed direction
        (claimed(0.2, low=0.17, high=0.23), measured(0.15), "same_direction"),
        (claimed(0.2, low=0.17, high=0.23), measured(0.10), "not_reproduced"),
        (claimed(0.2, low=0.17, high=0.23), measured(0.2, 0.05), "inconclusive"),
        (claimed(0.0, low=0.0, high=0.01, better="lower"), measured(0.004, 0.001), "reproduced"),
        (claimed(0.0, low=0.0, high=0.01, better="lower"), measured(-0.02, 0.001), "reproduced"),
        (claimed(0.0, low=0.0, high=0.01, better="lower"), measured(0.2, 0.001), "not_reproduced"),
    ],
)
def test_band(claim, measure, verdict):
    assert judge(claim, measure, "band").code == verdict


@pytest.mark.parametrize(
    ("rule", "value", "half", "tolerance", "verdict"),
    [
        ("frac", 0.45, 0.01, None, "reproduced"),
        ("frac", 0.30, 0.01, None, "same_direction"),
        ("frac", 0.05, 0.01, None, "not_reproduced"),
        ("frac", 0.10, 0.50, None, "inconclusive"),
        ("exact", 0.504, 0.0, None, "reproduced"),
        ("exact", 0.52, 0.0, None, "same_direction"),
        ("exact", 0.60, 0.0, None, "not_reproduced"),
        ("exact", 0.60, 0.0, 0.25, "reproduced"),
        ("exp", 0.54, 0.01, None, "reproduced"),
        ("exp", 0.62, 0.01, None, "same_direction"),
        ("exp", 0.70, 0.01, None, "not_reproduced"),
        ("exp", 0.60, 0.40, None, "inconclusive"),
        ("order", 0.5, 0.0, None, "reproduced"),
        ("order", 0.25, 0.0, None, "same_direction"),
        ("order", 0.0, 0.0, None, "not_reproduced"),
    ],
)
def test_fractions_exact_numbers_slopes_and_orderings(rule, value, half, tolerance, verdict):
    assert judge(claimed(0.5), measured(value, half), rule, tolerance).code == verdict


def test_an_absolute_number_from_other_hardware_is_never_scored():
    assert judge(claimed(100, kind="absolute"), measured(100), "ratio").code == "not_comparable"


def test_without_a_claim_or_with_the_rule_none_nothing_is_scored():
    assert judge(None, measured(3), "ratio").code == "not_comparable"
    assert judge(claimed(3), measured(3), "none").code == "not_comparable"


def test_every_verdict_has_a_sentence():
    for rule in ("ratio", "band", "frac", "exact", "exp", "order", "none"):
        for value in (0.1, 1, 2, 2.5, 40):
            reason = judge(claimed(3.0, low=2.5, high=3.5), measured(value, 0.05), rule).reason
            assert (reason.endswith(".") and reason[0].isupper()) or reason[0].isdigit()


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="no such verdict rule"):
        judge(claimed(3.0), measured(3.0), "guess")
