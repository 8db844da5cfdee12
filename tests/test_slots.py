"""The slots of a worker: how GPUs are laid out, and whom a slot gives way to. The GPUs here are a stand-in NVML."""

import threading
from types import SimpleNamespace

import pynvml
import pytest
from django.db.models.functions import Now

from reproduce import cuda, execution, gpus, lifecycle, slots
from reproduce.models import Run
from reproduce.slots import Slot, lay_out, lock_gpu
from tests.live import wait_until
from tests.making_runs import make_run, make_worker

FOUND = [{"uuid": f"GPU-test-{n}", "name": "Test GPU", "memory_mb": 80_000} for n in range(4)]


@pytest.fixture
def nvml(monkeypatch):
    """A driver with two GPUs, whose memory and processes a test may change."""
    cards = {gpu["uuid"]: SimpleNamespace(**gpu, used_mb=500, processes=[]) for gpu in FOUND[:2]}
    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: "580.1",
        "nvmlDeviceGetCount": lambda: len(cards),
        "nvmlDeviceGetHandleByIndex": lambda index: list(cards.values())[index],
        "nvmlDeviceGetHandleByUUID": lambda uuid: cards[uuid],
        "nvmlDeviceGetUUID": lambda card: card.uuid,
        "nvmlDeviceGetName": lambda card: card.name,
        "nvmlDeviceGetComputeRunningProcesses": lambda card: card.processes,
        "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(
            total=card.memory_mb * 2**20, used=card.used_mb * 2**20
        ),
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return cards


def uuids(groups):
    return [[gpu["uuid"][-1] for gpu in group] for group in groups]


def test_each_gpu_is_a_slot_unless_the_operator_groups_them():
    assert uuids(lay_out("", FOUND)) == [["0"], ["1"], ["2"], ["3"]]
    assert uuids(lay_out("2x1,1x2", FOUND)) == [["0"], ["1"], ["2", "3"]]
    assert uuids(lay_out("1x2, 1x1", FOUND)) == [["0", "1"], ["2"]]
    assert lay_out("", []) == []


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        ("1x5", "--slots '1x5' needs 5 GPUs, and 4 were found here."),
        ("two", "--slots 'two': 'two' is not of the form 2x1, slots times GPUs."),
        ("0x1", "--slots '0x1': '0x1' is not of the form 2x1, slots times GPUs."),
        ("1x1,", "--slots '1x1,': '' is not of the form 2x1, slots times GPUs."),
    ],
)
def test_a_layout_that_cannot_be_is_refused_with_a_sentence(layout, sentence):
    with pytest.raises(ValueError) as refused:
        lay_out(layout, FOUND)
    assert str(refused.value) == sentence


def test_nvml_tells_which_gpus_there_are_and_an_operator_may_hide_some(nvml, monkeypatch):
    assert gpus.find_gpus() == FOUND[:2]
    assert gpus.driver_version() == "580.1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.find_gpus() == FOUND[1:2]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-test-0")
    assert gpus.find_gpus() == FOUND[:1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus.find_gpus() == []


def test_memory_that_a_run_took_must_come_back(nvml):
    memory = gpus.GpuMemory(["GPU-test-0", "GPU-test-1"])
    assert memory.still_taken(0) == []
    nvml["GPU-test-1"].used_mb += 12_000
    assert memory.still_taken(0) == ["12000 MB of GPU-test-1"]
    threading.Timer(0.2, lambda: setattr(nvml["GPU-test-1"], "used_mb", 500)).start()
    assert memory.still_taken(10) == []


class Ended:
    """A child that is gone already."""

    def stop(self):
        return True


def test_an_ending_says_whether_processes_and_gpu_memory_are_gone(nvml, monkeypatch):
    monkeypatch.setattr(execution, "GPU_MEMORY_BACK_S", 0)
    memory = gpus.GpuMemory(["GPU-test-0"])
    said = execution.clear_away(Ended(), "cancel", memory)
    assert said == "every process of it is gone, and its GPU memory is back"
    nvml["GPU-test-0"].used_mb += 900
    said = execution.clear_away(Ended(), "cancel", memory)
    assert said == "but 900 MB of GPU-test-0 did not come back: its slot takes no run until it does"
    assert execution.clear_away(Ended(), "cancel", gpus.GpuMemory([])) == "every process of it is gone"


@pytest.mark.parametrize("needs_open", [(), ("files",), ("files", "processes")])
def test_a_worker_leaves_open_the_fewest_fences_that_keep_cuda_from_starting(monkeypatch, needs_open):
    tried = []
    monkeypatch.setattr(cuda, "starts", lambda gpus, left: tried.append(left) or set(needs_open) <= set(left))
    assert cuda.fences_to_leave_open(["GPU-test-0"]) == needs_open
    assert tried == list(cuda.LEFT_OPEN[: cuda.LEFT_OPEN.index(needs_open) + 1])


@pytest.mark.parametrize(
    ("source", "starts"),
    [("pass", True), ("raise SystemExit(1)", False), ("open('/dev/nvidia-none')", False)],
)
def test_cuda_is_tried_in_a_child_like_those_of_runs(monkeypatch, settings, tmp_path, source, starts):
    settings.RUN_DIR = tmp_path / "runs"
    monkeypatch.setattr(cuda, "START", source)
    assert cuda.starts(["GPU-test-0"], ("files",)) is starts
    assert list(settings.RUN_DIR.iterdir()) == []


@pytest.fixture
def executed(monkeypatch):
    """What slots executed, in place of a child: (run, the GPUs it may see)."""
    ran = []

    def execute(run, lease, *, worker, gpus, **_):
        ran.append((run.pk, gpus))
        lifecycle.finish(lease, who=worker, why="finished")

    monkeypatch.setattr(execution, "execute", execute)
    return ran


@pytest.fixture
def open_slot():
    """Let a slot work for a worker; every slot is closed at the end."""
    stopping, opened = threading.Event(), []

    def open_slot(slot):
        opened.append(slot)
        slot.work_for(make_worker(), stopping)
        return slot

    yield open_slot
    stopping.set()
    for slot in opened:
        slot.bell.set()
        slot.join()


def statuses():
    return set(Run.objects.values_list("status", flat=True))


@pytest.mark.django_db(transaction=True)
def test_a_pair_of_gpus_serves_runs_of_two_and_of_one(nvml, executed, open_slot):
    runs = [make_run(device="cuda", gpus=2), make_run(device="cuda", gpus=1)]
    open_slot(Slot(0, FOUND[:2]))
    wait_until(lambda: statuses() == {"done"}, 10)
    assert executed == [(runs[0].pk, ["GPU-test-0", "GPU-test-1"]), (runs[1].pk, ["GPU-test-0"])]


@pytest.mark.django_db(transaction=True)
def test_a_slot_waits_while_a_stranger_uses_its_gpu_and_says_so(nvml, executed, open_slot):
    nvml["GPU-test-0"].processes = ["somebody's training"]
    run = make_run(device="cuda")
    slot = open_slot(Slot(0, FOUND[:1]))
    wait_until(lambda: slot.state == "blocked", 10)
    assert slot.describe() | {"memory_gb": 0} == {
        "device": "cuda", "gpus": ["GPU-test-0"], "name": "Test GPU", "memory_gb": 0, "state": "blocked",
        "why": "1 process of somebody else on GPU-test-0",
    }  # fmt: skip
    assert (executed, statuses()) == ([], {"queued"})
    nvml["GPU-test-0"].processes = []
    slot.bell.set()
    wait_until(lambda: executed == [(run.pk, ["GPU-test-0"])], 10)


@pytest.mark.django_db(transaction=True)
def test_two_workers_of_a_host_never_share_a_gpu(nvml, executed, open_slot):
    held = lock_gpu("GPU-test-0")
    make_run(device="cuda")
    slot = open_slot(Slot(0, FOUND[:1]))
    wait_until(lambda: slot.why == "another worker uses GPU-test-0", 10)
    assert (executed, lock_gpu("GPU-test-0")) == ([], None)
    slots.os.close(held)
    slot.bell.set()
    wait_until(lambda: statuses() == {"done"}, 10)


@pytest.mark.django_db(transaction=True)
def test_a_slot_that_fails_takes_no_run_until_the_lost_one_is_found_and_then_goes_on(monkeypatch, open_slot):
    ran = []

    def execute(run, lease, **_):
        ran.append(run.pk)
        if len(ran) == 1:
            raise RuntimeError("a fault of ours")
        lifecycle.finish(lease, who="w", why="finished")

    monkeypatch.setattr(execution, "execute", execute)
    first, second = make_run(), make_run()
    slot = open_slot(Slot(0))
    wait_until(lambda: len(ran) == 1, 10)
    slot.bell.set()
    wait_until(lambda: not slot.bell.is_set(), 10)
    assert ran == [first.pk]
    Run.objects.filter(status="running").update(lease_until=Now())
    lifecycle.sweep()
    slot.bell.set()
    wait_until(lambda: ran == [first.pk, first.pk, second.pk], 10)
