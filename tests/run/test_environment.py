"""slimgate.run.environment: what is said of a machine that is not fit for timing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimgate.plugin.run_settings import measure_other_load
from slimgate.record.task import PeakRates
from slimgate.run import environment
from slimgate.run.environment import (
    describe_clock_problems,
    describe_machine,
    describe_machine_change,
)


def cpus(folder: Path, *governors: str, **files: str) -> Path:
    """A /sys/devices/system/cpu with these governors, one a core, and these files."""
    for number, governor in enumerate(governors):
        path = folder / f"cpu{number}/cpufreq/scaling_governor"
        path.parent.mkdir(parents=True)
        path.write_text(f"{governor}\n")
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


def test_installed_runtimes_and_quantizers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "QUANTIZERS", ("numpy-that-there-is-not", "pip"))
    libraries = describe_machine(threads=1, device="cpu").libraries
    assert libraries["pip"] is not None
    assert {"onnxruntime", "openvino"} <= libraries.keys()  # as those runtimes declare
    assert "numpy-that-there-is-not" not in libraries
    assert list(libraries) == sorted(libraries)


def test_a_clock_that_stands_still_is_no_warning(tmp_path: Path) -> None:
    assert (
        list(
            describe_clock_problems(cpus(tmp_path, "performance", "performance", intel_pstate__no_turbo="1"))
        )
        == []
    )
    assert list(describe_clock_problems(tmp_path / "a system that tells nothing")) == []


def test_other_governors_are_named_once(tmp_path: Path) -> None:
    folder = cpus(tmp_path, "performance", "schedutil", "powersave", "powersave")
    assert list(describe_clock_problems(folder)) == [
        "the frequency scaling governor is powersave, schedutil, not performance"
    ]


@pytest.mark.parametrize("files", [{"intel_pstate__no_turbo": "0"}, {"cpufreq__boost": "1"}])
def test_turbo_is_a_warning(tmp_path: Path, files: dict[str, str]) -> None:
    assert list(describe_clock_problems(cpus(tmp_path, **files))) == [
        "turbo is on: the clock follows heat and load"
    ]


def test_the_load_of_others_is_without_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has run for minutes or seconds: it counts for at most 1."""
    monkeypatch.setattr(os, "getloadavg", lambda: (5.0, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    load = measure_other_load()
    assert load is not None
    assert 2.0 <= load <= 2.5
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert measure_other_load() == 0.0


@pytest.mark.parametrize(("load", "warns"), [(None, False), (0.4, False), (0.9, True)])
def test_a_busy_machine_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: float | None, warns: bool
) -> None:
    monkeypatch.setattr(environment, "CPUS", tmp_path)
    warning = "load average 0.9 per core when the run began"
    assert describe_machine(threads=1, device="cpu", other_load=load).warnings == ([warning] if warns else [])


def test_more_threads_than_cores_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "CPUS", tmp_path)
    quota = tmp_path / "cpu.max"
    quota.write_text("100000 100000")
    monkeypatch.setattr(environment, "CPU_MAX", quota)
    assert describe_machine(threads=2, device="cpu").warnings == [
        "2 threads share 1 of the machine's cores (affinity or container quota)"
    ]


def test_a_machine_is_the_same_however_busy_it_is() -> None:
    idle = describe_machine(threads=1, device="cpu", other_load=0.0)
    busy = describe_machine(threads=1, device="cpu", other_load=3.0)
    assert idle != busy
    assert describe_machine_change(idle, busy) is None
    rates = PeakRates(seconds=2.0, measured="2026-11-23T14:00:00+00:00")
    assert describe_machine_change(idle, busy.model_copy(update={"peak_rates": rates})) is None
    two_threads = describe_machine(threads=2, device="cpu", other_load=0.0)
    assert describe_machine_change(idle, two_threads) == "threads 1 → 2"


def test_the_gpu_is_named_and_another_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = {"cuda": "Tesla T4", "cuda:1": "Tesla V100"}
    monkeypatch.setattr(environment, "describe_gpu", gpus.get)
    first, second = (describe_machine(threads=1, device=device) for device in gpus)
    assert (first.gpu, second.gpu) == ("Tesla T4", "Tesla V100")
    assert describe_machine_change(first, first) is None
    moved = first.model_copy(update={"gpu": second.gpu})  # the same device of another machine
    assert describe_machine_change(first, moved) == "gpu Tesla T4 → Tesla V100"
    assert first.hardware != moved.hardware
    assert moved.kind == f"{first.cpu}, {first.cores} cores, Tesla V100"


def test_a_machine_without_a_gpu_names_none() -> None:
    described = describe_machine(threads=1, device="cpu")
    assert (described.gpu, described.device_and_gpu) == (None, "cpu")
    assert described.kind == f"{described.cpu}, {described.cores} cores"


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ({}, {"onnxruntime": "1.23"}, None),
        ({"onnxruntime": "1.23"}, {}, None),
        ({"onnxruntime": "1.23"}, {"onnxruntime": "1.24"}, "onnxruntime 1.23 → 1.24"),
        ({"numpy": "2.1"}, {"numpy": "2.4"}, "numpy 2.1 → 2.4"),
        ({"evaluate": None}, {"evaluate": "0.4"}, "evaluate not installed → 0.4"),
    ],
)
def test_an_optional_package_may_come_or_go(
    before: dict[str, str | None], after: dict[str, str | None], change: str | None
) -> None:
    machine = describe_machine(threads=1, device="cpu", other_load=0.0)
    earlier, now = (machine.model_copy(update={"libraries": libraries}) for libraries in (before, after))
    assert describe_machine_change(earlier, now) == change
