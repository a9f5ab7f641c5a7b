"""Times and machines of two releases: what is another machine, and which speed-ups changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.releases import Model, compare_changed, compare_folders, make_machine, write_release

from slimgate.record.task import PeakRates, Rates
from slimgate.report.compare import format_release_comparison


@pytest.mark.parametrize(
    ("speedup", "change"),
    [((1.5, 1.4, 1.6), "slower"), ((2.5, 2.4, 2.6), "faster"), ((1.9, 1.8, 2.0), "no change shown")],
)
def test_a_speed_up_changed_where_the_intervals_lie_apart(
    tmp_path: Path, speedup: tuple[float, float, float], change: str
) -> None:
    comparison = compare_changed(tmp_path, models={"int8": Model(speedup=speedup)})
    assert comparison.variants[0].latency[0].change == change


def test_another_machine_tells_no_change_of_times(tmp_path: Path) -> None:
    other = {"int8": Model(speedup=(1.5, 1.4, 1.6))}
    comparison = compare_changed(tmp_path, models=other, machine=make_machine(cpu="another cpu"))
    assert comparison.variants[0].latency[0].change is None
    assert [note for note in comparison.notes if "The machines differ (a cpu, 2 cores" in note]


def test_a_processor_with_other_instructions_is_another_machine(tmp_path: Path) -> None:
    write_release(tmp_path / "old", machine=make_machine(instructions=["avx2"]))
    slower = write_release(tmp_path / "new", machine=make_machine(instructions=["avx2", "avx512_vnni"]))
    comparison = compare_folders(tmp_path / "old", slower)
    assert not comparison.same_machine
    [note] = comparison.notes
    assert "a cpu, 2 cores, 2 threads, cpu, avx2 and a cpu, 2 cores, 2 threads, cpu, avx2 avx512_vnni" in note
    unknown = compare_folders(write_release(tmp_path / "unknown"), slower)
    assert "cpu, unknown instructions and" in unknown.notes[0]


def test_another_gpu_at_the_same_processor_is_another_machine(tmp_path: Path) -> None:
    """A virtual machine keeps its processor if another type of GPU is attached."""
    on = [make_machine(device="cuda", gpu=gpu) for gpu in ("Tesla T4", "Tesla V100")]
    write_release(tmp_path / "old", machine=on[0])
    new = write_release(tmp_path / "new", models={"int8": Model(speedup=(1.4, 1.3, 1.5))}, machine=on[1])
    comparison = compare_folders(tmp_path / "old", new)
    assert not comparison.same_machine
    [note] = [note for note in comparison.notes if note.startswith("The machines differ")]
    assert "cuda (Tesla T4) and a cpu" in note
    assert comparison.variants[0].latency[0].change is None


def test_other_libraries_are_the_same_machine_and_are_noted(tmp_path: Path) -> None:
    comparison = compare_changed(tmp_path, machine=make_machine(libraries={"torch": "2.14.0"}))
    assert comparison.same_machine
    assert comparison.notes == ["Other versions: torch 2.13.0 → 2.14.0."]


def with_rates(float32: float, memory: float | None = 10.0) -> PeakRates:
    every = Rates(threads=2, float32_gflop_per_s=float32, memory_gb_per_s=memory)
    return PeakRates(all_threads=every, seconds=2.0, measured="2026-11-23T14:00:00+00:00")


def test_a_machine_that_gave_other_peaks_is_noted(tmp_path: Path) -> None:
    write_release(tmp_path / "old", machine=make_machine(peak_rates=with_rates(142.3)))
    slower = write_release(tmp_path / "new", machine=make_machine(peak_rates=with_rates(88.4, 9.1)))
    comparison = compare_folders(tmp_path / "old", slower)
    assert comparison.notes == ["Measured peaks differ: float32 142 → 88.4 GFLOP/s. This may change times."]
    assert comparison.same_machine
    assert comparison.notes[0] in format_release_comparison(comparison)
    near = write_release(tmp_path / "near", machine=make_machine(peak_rates=with_rates(130.0, None)))
    assert compare_folders(tmp_path / "old", near).notes == []
    assert (
        compare_folders(write_release(tmp_path / "none"), slower).notes == []
    )  # a record of before there were any
