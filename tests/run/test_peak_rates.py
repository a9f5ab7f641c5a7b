"""What the CPU gives: measured once for a number of threads, and where it cannot be, the record says why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_suite import make_tiny_run

from slimgate.plugin.run_settings import measure_other_load
from slimgate.record.task import PeakRates, Rates
from slimgate.run import environment
from slimgate.run.environment import PeakProbe
from slimgate.run.measure import peak_rates_worker
from slimgate.run.measure.peak_rates_worker import measure_peak, measure_rates, time_fastest

FIGURES = ("float32_gflop_per_s", "bfloat16_gflop_per_s", "int8_gop_per_s", "memory_gb_per_s")


def test_two_threads_give_about_as_much_as_one_or_more() -> None:
    pytest.importorskip("onnxruntime")
    rates = PeakProbe().measure(2, max_seconds=0.3)
    single, every = rates.one_thread, rates.all_threads
    assert single is not None
    assert every is not None
    assert (single.threads, every.threads) == (1, 2)
    assert (rates.notes, rates.int8_by) == ([], "onnxruntime")
    for name in FIGURES:
        assert getattr(single, name) > 0
        assert getattr(every, name) > 0
        if (measure_other_load() or 0.0) < 0.2:  # or the second thread waits for its core
            assert getattr(single, name) <= 1.5 * getattr(every, name), name
    # 0.06 s for each of eight figures, and what each makes before
    assert 0.4 < rates.seconds < 30


def test_a_number_of_threads_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def measured(threads: int, seconds: float) -> PeakRates:
        calls.append((threads, seconds))
        return PeakRates(all_threads=Rates(threads=threads), seconds=0.1, measured="now")

    monkeypatch.setattr(environment, "_measure_rates", measured)
    probe = PeakProbe()
    assert probe.find(2) is None
    assert probe.measure(2, max_seconds=1.0) is probe.measure(2, max_seconds=1.0) is probe.find(2)
    probe.measure(1, max_seconds=100.0)
    assert calls == [
        (2, 0.2),
        (1, 0.2),
    ]  # eight figures take under two seconds, however long models are timed


def test_a_probe_that_fails_leaves_its_reason() -> None:
    rates = environment._measure_rates(-1, 0.01)  # PyTorch refuses such a number of threads
    assert (rates.one_thread, rates.all_threads) == (None, None)
    (note,) = rates.notes
    assert note.startswith("nothing was measured: RuntimeError: ")


@pytest.mark.parametrize(
    ("serve", "patience", "why"),
    [
        (len, 60.0, "the process: it ended with code 1"),
        (environment.serve, 0.0, "the process gave no answer"),
    ],
    ids=["dies", "hangs"],
)
def test_so_does_a_probe_that_dies_or_hangs(
    monkeypatch: pytest.MonkeyPatch, serve: Any, patience: float, why: str
) -> None:
    monkeypatch.setattr(environment, "serve", serve)
    monkeypatch.setattr(environment, "PATIENCE_SECONDS", patience)
    (note,) = environment._measure_rates(1, 0.01).notes
    assert note.startswith(f"nothing was measured: {why}")


def test_without_onnx_runtime_int8_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(peak_rates_worker, "COPIED_BYTES", 2**20)
    threads = torch.get_num_threads()
    rates = PeakRates(**measure_rates(1, 0.001), measured="now")
    torch.set_num_threads(threads)
    assert rates.one_thread == rates.all_threads
    assert rates.one_thread is not None
    assert rates.one_thread.int8_gop_per_s is None
    assert rates.one_thread.float32_gflop_per_s
    assert rates.int8_by is None
    assert rates.notes == [
        'int8 was not measured: runtime onnxruntime needs an extra: pip install "slimgate[onnx]"'
    ]


class Clock:
    """Time that passes only in calls."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    timer = Clock()
    monkeypatch.setattr(peak_rates_worker, "time", timer)
    return timer


def test_a_figure_is_of_the_fastest_call_and_not_of_the_first(clock: Clock) -> None:
    waits = iter([0.001, 5.0, 2.0, 3.0, 1.0])
    assert time_fastest(lambda: clock.wait(next(waits)), until=9.0) == 2.0


@pytest.mark.parametrize(
    ("rate", "largest"), [(1e12, 1024), (3e10, 1024), (1e10, 512), (1e9, 256)], ids=lambda value: f"{value:g}"
)
def test_the_largest_product_that_fits_a_few_times_is_made(clock: Clock, rate: float, largest: int) -> None:
    """rate: operations a second, which a small product reaches half of."""
    tried = []

    def product(size: int) -> Callable[[], None]:
        tried.append(size)
        reached = rate if size > 256 else rate / 2
        return lambda: clock.wait(2 * size**3 / reached)

    sizes: dict[str, int] = {}
    peak = measure_peak(product, 0.5, sizes, "float32")
    assert tried == ([256] if largest == 256 else [256, largest])
    assert peak == pytest.approx(rate if largest > 256 else rate / 2)
    assert clock.now < 0.7
    assert sizes == {"float32": largest}
    tried.clear()  # with more threads the same size, however long a small product takes
    assert measure_peak(product, 0.5, sizes, "float32") == pytest.approx(peak)
    assert tried == [largest]


@pytest.mark.parametrize(("device", "measured"), [("cpu", 1), ("cuda", 0)])
def test_the_cpu_is_measured_where_models_run_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, measured: int
) -> None:
    run, probe, calls = make_tiny_run(tmp_path), PeakProbe(), []
    monkeypatch.setattr(probe, "measure", lambda threads, **_: calls.append(threads))
    run.measure_peak_rates()  # a run without a probe
    run._probe, run.device = probe, device
    run.measure_peak_rates()
    assert len(calls) == measured
