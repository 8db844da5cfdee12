"""The vocabulary of metrics is complete, unambiguous and readable."""

from papers.metrics import METRICS


def test_every_metric_stands_under_its_own_slug():
    assert {slug: metric.slug for slug, metric in METRICS.items()} == {slug: slug for slug in METRICS}


def test_no_two_metrics_share_a_meaning():
    assert len({metric.meaning for metric in METRICS.values()}) == len(METRICS)


def test_directions_and_kinds_are_known():
    assert {metric.better for metric in METRICS.values()} == {"higher", "lower", "either"}
    assert {metric.kind for metric in METRICS.values()} == {"ratio", "absolute"}


def test_numbers_of_one_machine_are_absolute_and_counts_are_not():
    assert METRICS["tflops"].kind == METRICS["time_s"].kind == METRICS["ppl"].kind == "absolute"
    assert METRICS["speedup_x"].kind == METRICS["checkpoint_mb"].kind == "ratio"
