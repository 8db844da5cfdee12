"""The toolbox measures what it says: intervals, interleaving, bytes, least times, and the record of a run."""

import errno
import json
import os
import time

import numpy as np
import pytest
import torch

from reproduce.recipes import (
    corpora,
    energy,
    environment,
    execute,
    intervals,
    machine,
    memory,
    roofline,
    toolbox,
)
from reproduce.recipes.events import Events
from reproduce.recipes.trace import POINTS_LIMIT, Trace

CPU = torch.device("cpu")
QUICK = toolbox.Profile("test", 1, 0.0, 10, 0.0, 0.5, 0.5)


def test_the_interval_of_a_median_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = intervals.median_of(draw.normal(10.0, 1.0, 60))
        covered += found.low <= 10.0 <= found.high
    assert 0.90 <= covered / 200 <= 0.99


def test_the_interval_of_a_ratio_follows_from_known_samples():
    slow, fast = [4.0] * 30, [2.0] * 30
    assert intervals.ratio_of_medians(slow, fast) == intervals.Interval(2.0, 2.0, 2.0, 30)


def test_pairing_cancels_a_drift_that_both_arms_share():
    drift = np.linspace(1.0, 3.0, 101)
    paired = intervals.ratio_of_medians(2 * drift, drift)
    assert paired.half_width < 1e-9
    shuffled = intervals.ratio_of_medians(2 * drift, np.random.default_rng(1).permutation(drift))
    assert shuffled.half_width > 0.05


def test_the_same_samples_give_the_same_interval():
    samples = np.random.default_rng(2).lognormal(size=50)
    assert intervals.median_of(samples) == intervals.median_of(samples)


def test_unpaired_samples_are_refused():
    with pytest.raises(ValueError, match="equally many"):
        intervals.ratio_of_medians([1.0, 2.0], [1.0])


def test_a_slope_is_the_exponent_of_the_upper_half():
    lengths = [1, 2, 4, 8, 16, 32]
    flat_then_square = [100, 100, 100, 64 * 4, 256 * 4, 1024 * 4]
    found = intervals.slope(lengths, flat_then_square)
    assert (found.value, found.n) == (pytest.approx(2.0), 3)
    assert found.low <= found.value <= found.high


def test_a_slope_needs_two_points():
    with pytest.raises(ValueError, match="two points"):
        intervals.slope([1], [1])


def test_the_trimmed_mean_drops_the_first_and_the_last():
    assert intervals.olympic_mean([100.0, 1.0, 3.0, 100.0]) == 2.0
    assert intervals.olympic_mean([1.0, 3.0]) == 2.0


def test_all_arms_run_in_every_round():
    order = []
    arms = {"a": lambda call: order.append("a"), "b": lambda call: order.append("b")}
    found = toolbox.compare(arms, "a", QUICK, CPU)
    rounds = len(found.samples["a"])
    assert {arm: len(samples) for arm, samples in found.samples.items()} == dict.fromkeys(
        ["a", "b", "a (again)"], rounds
    )
    assert order[2:8] == ["a", "b", "a", "a", "b", "a"]
    assert len(order) == 2 + 3 * rounds


def test_every_arm_takes_every_place_equally_often():
    lanes = ["a", "b", "c"]
    rounds = [toolbox.order_of(lanes, number) for number in range(6)]
    assert rounds[:2] == [["a", "b", "c"], ["c", "b", "a"]]
    for place in range(3):
        assert sorted(order[place] for order in rounds) == ["a", "a", "b", "b", "c", "c"]


def test_a_slower_arm_is_found_slower_and_the_baseline_like_itself():
    arms = {"slow": lambda call: time.sleep(0.004), "fast": lambda call: time.sleep(0.001)}
    found = toolbox.compare(arms, "slow", toolbox.Profile("test", 1, 0.0, 10, 0.0, 0.6, 0.5), CPU)
    assert found.speedup("fast").low > 1.5
    assert found.speedup("slow", "fast").high < 1 / 1.5
    again = found.again()
    assert again.low <= again.value <= again.high
    assert found.noise() == max(abs(again.low - 1), abs(again.high - 1))


def test_inputs_rotate_and_a_block_is_divided_by_its_calls():
    seen = []
    how = toolbox.Profile("test", 1, 0.0, 5, 0.0, 0.0, 0.5, calls=4)
    found = toolbox.compare({"a": seen.append}, "a", how, CPU, again=False)
    assert seen[1:9] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert len(found.samples["a"]) == 5


def test_timing_stops_when_its_time_is_up():
    begun = time.perf_counter()
    wide = toolbox.Profile("test", 0, 0.0, 5, 0.0, 0.1, 0.0)
    found = toolbox.compare({"a": lambda call: time.sleep(0.002)}, "a", wide, CPU)
    assert len(found.samples["a"]) >= 5
    assert time.perf_counter() - begun < 5


def test_peak_memory_counts_what_lives_at_once():
    source = torch.ones(1000)  # 4,000 bytes, there before

    def step():
        one = source + 1
        two = one + 1
        del one
        return two + 1

    assert memory.peak_bytes(step, CPU) == 8000
    assert memory.peak_bytes(lambda: source.view(10, 100).t(), CPU) == 0


def test_saved_bytes_are_those_kept_for_backward():
    weight = torch.ones(1000, requires_grad=True)
    assert memory.saved_bytes(lambda: weight.exp().sum(), [weight]) == 4000
    assert memory.saved_bytes(lambda: (weight * 2).sum(), [weight]) == 0


def test_traffic_counts_each_input_and_output_once():
    a, b = torch.ones(10, 20), torch.ones(20, 30)
    with memory.Traffic() as moved:
        a @ b
    assert moved.bytes == 4 * (200 + 600 + 300)
    with memory.Traffic() as moved:
        a.t().reshape(20, 10).detach()
    assert moved.bytes == 0
    with memory.Traffic() as moved:
        a + torch.ones(1).expand(10, 20)
    assert moved.bytes == 4 * (1 + 1 + 200 + 200)  # the one is written, then read once


def test_the_least_time_is_the_tightest_of_three_limits():
    ceilings = roofline.Probe(half=100.0, single=10.0, eighth=None, copy=50.0, launch=1.0)
    assert ceilings.least_time(flop=1000) == 10.0
    assert ceilings.least_time(flop=1000, rate="single") == 100.0
    assert ceilings.least_time(flop=1000, moved=1000) == 20.0
    assert ceilings.least_time(launches=30) == 30.0


def test_the_probe_finds_positive_ceilings_here():
    found = roofline.probe(CPU)
    assert min(found.half, found.single, found.copy, found.launch) > 0
    assert found.eighth is None


def test_energy_that_cannot_be_read_is_null_with_a_reason():
    assert energy.energy(lambda call: None, None, 1.0, None) == {
        "joules": None,
        "reason": "no energy counter on this device",
    }
    assert energy.idle_watts(None) is None


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (MemoryError(), "MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "CUDA out of memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "[Errno 12] Cannot allocate memory"),
        (RuntimeError("cuBLAS: CUBLAS_STATUS_ALLOC_FAILED when calling"), "CUBLAS_STATUS_ALLOC_FAILED"),
        (RuntimeError("shapes cannot be multiplied"), None),
        (OSError(errno.ENOSPC, "No space left on device"), None),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error, asked):
    assert execute._memory_asked(error) == asked


def test_the_record_names_no_host_no_user_and_no_path(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", "/home/somebody/models")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    record = json.dumps([environment.code(), machine.host(), environment.numerics(CPU, 1)])
    assert os.uname().nodename not in record
    assert "somebody" not in record
    assert environment.code()["variables"]["OMP_NUM_THREADS"] == "2"


def test_the_record_says_how_the_processor_is_laid_out_and_used():
    host = machine.host()
    assert machine._ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert host["cores_allowed"] == len(os.sched_getaffinity(0))
    assert host["affinity"] == machine._ranges(sorted(os.sched_getaffinity(0)))
    assert (host["physical_cores"] or 1) >= (host["sockets"] or 1)


def test_the_record_says_which_arithmetic_was_allowed():
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        assert environment.numerics(CPU, 7)["attention_backends_allowed"] == [
            "memory efficient",
            "cuDNN",
            "math",
        ]
    finally:
        torch.backends.cuda.enable_flash_sdp(True)
    found = environment.numerics(CPU, 7)
    assert found["attention_backends_allowed"] == ["flash", "memory efficient", "cuDNN", "math"]
    assert (found["seeds"], found["autocast"]) == ({"python": 7, "numpy": 7, "torch": 7}, False)
    with torch.autocast("cpu"):
        assert environment.numerics(CPU, 7)["autocast"]


class Card:
    """A GPU as the trace asks it, with 5 J spent at each look and one process of ours."""

    def __init__(self, index, processes):
        self.index, self.spent, self.seen = index, 0, iter(processes)

    def millijoules(self):
        self.spent += 5000
        return self.spent

    def processes(self):
        return next(self.seen)

    def now(self):
        return dict.fromkeys(("memory_mb", "utilisation", "power_w", "temperature_c", "sm_clock_mhz")) | {
            "gpu": self.index
        }

    def slowed(self):
        return 0x04


def test_the_trace_covers_every_gpu_of_a_run():
    with Trace([Card(0, [0, 1]), Card(1, [2, 2])], Events()) as trace:
        while len(trace.points) < 2:
            time.sleep(0.01)
    assert [point["gpu"] for point in trace.points] == [0, 1]
    assert (trace.joules, trace.other_processes, trace.power_capped) == (10.0, 2, 1.0)
    assert trace.kept() == trace.points


def test_a_very_long_trace_is_thinned_for_every_gpu_alike():
    trace = Trace([Card(0, [0]), Card(1, [0])], Events())
    trace.points = [{"t": second, "gpu": gpu} for second in range(POINTS_LIMIT) for gpu in (0, 1)]
    kept = trace.kept()
    assert len(kept) == POINTS_LIMIT
    assert kept[:4] == [{"t": 0, "gpu": 0}, {"t": 0, "gpu": 1}, {"t": 2, "gpu": 0}, {"t": 2, "gpu": 1}]


def test_an_exported_copy_may_say_which_commit_it_is(monkeypatch):
    monkeypatch.setenv("SPECTRUM_COMMIT", "abc123")
    assert environment.commit() == {"commit": "abc123", "dirty": False}


def test_corpora_are_repeatable_bounded_and_apart():
    code, prose = corpora.code(20_000), corpora.prose(20_000)
    assert code == corpora.code(20_000)
    assert (len(code.content), len(prose.content)) == (20_000, 20_000)
    assert set(code.files) & set(prose.files) == set()
    assert code.train + code.validation == code.content
    assert len(code.validation) == 2000
