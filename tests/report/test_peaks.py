"""The measured peaks in the report, and which models are named as far below them."""

from __future__ import annotations

from typing import Any

import pytest
from support.sample_record import (
    EXAMPLE,
    MEASURED,
    make_artifact,
    make_latency,
    make_sample_record,
    make_variant,
)

from slimgate.record.run import RunRecord, format_record_json, read_record
from slimgate.record.task import Machine, PeakRates, Rates
from slimgate.report.cautions import format_notes
from slimgate.report.trust import list_machine_lines
from slimgate.report.variant_tables import make_latency_table
from slimgate.results.figures import FlopsFacts

ONE = Rates(
    threads=1, float32_gflop_per_s=70.0, bfloat16_gflop_per_s=35.2, int8_gop_per_s=150.0, memory_gb_per_s=9.0
)
TWO = Rates(
    threads=2,
    float32_gflop_per_s=140.0,
    bfloat16_gflop_per_s=70.4,
    int8_gop_per_s=300.0,
    memory_gb_per_s=12.0,
)
RATES = PeakRates(one_thread=ONE, all_threads=TWO, int8_by="onnxruntime", seconds=1.9, measured=MEASURED)
SMALL = make_artifact(24_000_000, 22_000_000, state_bytes=24_000_000)  # 2 ms at 12 GB/s
MACS = 265_000_000  # of a row of 25 tokens: 0.53 billion operations


def machine(rates: PeakRates | None = RATES) -> Machine:
    return EXAMPLE.machine.model_copy(update={"threads": 2, "peak_rates": rates})


def record(p50: float, kind: str = "int8", *, workload: str = "b32x64", **changes: Any) -> RunRecord:
    """A run with one variant whose products are of that type. changes: of its times, or `macs`, `rates`."""
    macs, rates = changes.pop("macs", MACS), changes.pop("rates", RATES)
    flops = FlopsFacts(flops=2 * macs, macs=macs, macs_by_type={kind: macs}, tokens=25, measured=MEASURED)
    times = make_latency(2 * p50, **{"min_ms": p50, "tokens": 64, "threads": 2, **changes})
    model = make_variant("small", flops=flops, latency={workload: times}, artifact=SMALL)
    return make_sample_record(variants=[model], machine=machine(rates))


def list_warnings(run: RunRecord) -> list[str]:
    return [line for line in format_notes(run) if "operations explain" in line]


def test_a_runtime_far_below_the_peak_of_its_type_is_named() -> None:
    # 32 rows of 64 tokens are 81.92 of the counted row: 43.4 billion operations take 144.7 ms, weights 2 ms
    assert list_warnings(record(3000.0)) == [
        "**small is far slower than its operations explain**: batch 32 × 64 tokens took at least 3,000 ms, "
        "20 times what its products and weights take at this machine's measured peaks (147 ms)."
    ]


def test_the_table_of_times_has_what_products_take_at_the_peaks() -> None:
    """144.7 ms of 32 rows of 64 tokens (above), and one row of 25 tokens 1.77 ms."""

    def cell(run: RunRecord) -> str:
        heads, _, *rows = (line.strip("| ").split("|") for line in make_latency_table(run).splitlines())
        place = [head.strip() for head in heads].index("products at the peaks, ms")
        return rows[0][place].strip()

    assert cell(record(300.0)) == "145"
    assert cell(record(3.0, workload="b1", tokens=25)) == "1.77"
    assert "at the peaks" not in make_latency_table(record(300.0, threads=1))
    assert "at the peaks" not in make_latency_table(record(300.0, rates=None))


@pytest.mark.parametrize(
    "run",
    [
        record(400.0),  # 36 % of the peak
        record(1000.0),  # 14 %: as slow as float32 is, but no more
        record(900.0, "float32"),  # a third of the float32 peak
        record(3000.0, "mixed"),  # a type without a peak
        record(3000.0, workload="b1"),
        record(3000.0, workload="p128n64b32"),
        record(3000.0, threads=1),  # the peaks are of two threads
        record(3000.0, turns=16),
        record(20.0, macs=1_000_000),  # 0.6 ms of products: the call's overhead decides
        record(3000.0, rates=None),
        record(3000.0, rates=RATES.model_copy(update={"all_threads": ONE.model_copy(update={"threads": 2,
               "int8_gop_per_s": None})})),
    ],
    ids=[
        "usual int8", "slow int8", "usual float32", "mixed types", "one row", "writes", "other threads",
        "by turns", "small model", "record of before", "no int8 peak",
    ],
)  # fmt: skip
def test_usual_and_little_known_models_are_not_named(run: RunRecord) -> None:
    assert list_warnings(run) == []


def test_very_fast_kernels_are_not_held_against_a_model() -> None:
    """As of AMX: 4 % of the int8 peak, yet faster than float32 products at their own (310 ms)."""
    amx = RATES.model_copy(update={"all_threads": TWO.model_copy(update={"int8_gop_per_s": 4000.0})})
    assert list_warnings(record(270.0, rates=amx)) == []
    assert len(list_warnings(record(1000.0, rates=amx))) == 1


def test_where_others_had_the_cores_the_peaks_are_low_too() -> None:
    """Measured on 2 cores with a load of 6: float32 1.21 GFLOP/s with two threads, 76 with one."""
    busy = TWO.model_copy(update={"float32_gflop_per_s": 1.21})
    assert (
        list_warnings(record(8000.0, "float32", rates=RATES.model_copy(update={"all_threads": busy}))) == []
    )


def test_of_many_slow_workloads_the_worst_is_named() -> None:
    run = record(3000.0)
    (model,) = run.variants
    times = {**model.latency, "b16x64": make_latency(6000.0, min_ms=3000.0, tokens=64, threads=2)}
    extended = run.model_copy(update={"variants": [model.model_copy(update={"latency": times})]})
    (line,) = list_warnings(extended)
    assert "batch 16 × 64 tokens took at least 3,000 ms, 40 times" in line


def test_the_machines_line_has_peaks_of_all_threads_and_of_one() -> None:
    assert (
        "measured peaks (int8 by onnxruntime), 2 threads: float32 140 GFLOP/s, bfloat16 70.4 GFLOP/s, "
        "int8 300 GOP/s, memory 12.0 GB/s; one thread: float32 70.0 GFLOP/s, bfloat16 35.2 GFLOP/s, "
        "int8 150 GOP/s, memory 9.00 GB/s"
    ) in list(list_machine_lines(machine()))


def test_what_was_not_measured_is_left_out_with_its_reason() -> None:
    alone = ONE.model_copy(update={"int8_gop_per_s": None})
    why = "int8 was not measured: no onnxruntime"
    rates = PeakRates(one_thread=alone, all_threads=alone, notes=[why], seconds=0.9, measured=MEASURED)
    lines = list(list_machine_lines(machine(rates)))
    assert "measured peaks, 1 thread: float32 70.0 GFLOP/s, bfloat16 35.2 GFLOP/s, memory 9.00 GB/s" in lines
    assert f"of the measured peaks: {why}" in lines


def test_a_record_of_before_there_were_peaks_is_still_read() -> None:
    assert EXAMPLE.machine.peak_rates is None  # its file does not have the key
    assert not any("peaks" in line for line in list_machine_lines(EXAMPLE.machine))


def test_the_peaks_are_written_and_read_again(tmp_path: Any) -> None:
    (tmp_path / "run.json").write_text(format_record_json(record(3000.0)))
    again = read_record(tmp_path / "run.json")
    assert again.machine.peak_rates == RATES
    assert again.variant("small").flops == record(3000.0).variant("small").flops
