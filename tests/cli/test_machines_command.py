"""`slimgate machines` as a user runs it: the speed-ups of several machines side by side."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from support.judge_command import Command
from support.releases import Model, make_machine, write_release
from support.report_sections import find_row

from slimgate.record.task import PeakRates, Rates, SuiteFacts
from slimgate.results.self_test import PlantedDelay, SelfTest

RATES = Rates(threads=2, float32_gflop_per_s=174.0, int8_gop_per_s=181.0, memory_gb_per_s=25.6)
PLAIN = make_machine(
    cpu="plain", instructions=["avx2"], peak_rates=PeakRates(all_threads=RATES, seconds=2, measured="")
)
FAST = make_machine(cpu="fast", instructions=["avx2", "avx512_vnni"])


@pytest.fixture
def machines(run_command: Command) -> Command:
    return partial(run_command, "machines")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write_release(tmp_path / "plain", machine=PLAIN, models={"int8": Model(speedup=(2.0, 1.5, 2.6))})


def test_two_gpus_beside_one_processor_are_two_machines(machines: Command, tmp_path: Path) -> None:
    runs = [
        write_release(tmp_path / gpu, machine=make_machine(device="cuda", gpu=f"Tesla {gpu}"))
        for gpu in ("T4", "V100")
    ]
    code, out, _ = machines(*runs)
    assert (code, out.partition(":")[0]) == (0, "# Speed-ups on 2 machines")
    assert "cuda (Tesla T4)" in find_row(out, "A")
    assert "cuda (Tesla V100)" in find_row(out, "B")


def test_a_variant_has_its_speed_and_bound_on_each_machine(
    machines: Command, plain: Path, tmp_path: Path
) -> None:
    models = {"int8": Model(speedup=(9.0, 8.0, 10.5)), "new": Model(size=500_000)}
    fast = write_release(tmp_path / "fast", machine=FAST, models=models)
    code, out, err = machines(plain, fast / "run.json")
    assert (code, err) == (0, "")
    assert out.startswith("# Speed-ups on 2 machines: What does the customer ask for?\n")
    assert find_row(out, "A")[1:] == [
        "plain",
        "avx2",
        "2",
        "2",
        "174",
        "181",
        "25.6",
        f"{plain.as_posix()}/run.json",
    ]
    assert find_row(out, "B")[1:3] == ["fast", "avx2 avx512_vnni"]
    assert find_row(out, "int8") == ["int8", "2.00× [1.50, 2.60]", "9.00× [8.00, 10.5]", "1.50×"]
    assert find_row(out, "new")[1:] == [
        "–",
        "2.00× [1.90, 2.10]",
        "–",
    ]  # no bound of a machine without a figure
    assert "differ" not in out


def test_one_machine_is_called_one_and_its_runs_are_numbered(
    machines: Command, plain: Path, tmp_path: Path
) -> None:
    assert "# Speed-ups on one machine" in machines(plain)[1]
    again = write_release(tmp_path / "again", machine=PLAIN)
    out = machines(plain, again)[1]
    assert "On another machine they are others." in out
    assert find_row(out, "variant") == ["variant", "A1", "A2", "lowest bound"]


def test_what_keeps_machines_from_being_compared_is_reported(
    machines: Command, plain: Path, tmp_path: Path
) -> None:
    delay = PlantedDelay(seen=False, speedup_interval=(0.9, 1.1), message="", workload="b1", measured="")
    other = write_release(
        tmp_path / "other",
        machine=FAST,
        models={"int8": Model(size=7)},
        self_test=SelfTest(planted_delay=delay),
    )
    out = machines(plain, other)[1]
    assert "**Too noisy**: the planted delay was not seen on B." in out
    assert "Each machine built its own files, which differ: int8." in out


def test_runs_on_other_rows_are_reported(machines: Command, plain: Path, tmp_path: Path) -> None:
    same = write_release(tmp_path / "same", machine=FAST)
    other = write_release(tmp_path / "other", machine=FAST, gate_digest="gate-2")
    assert "other gate rows" not in machines(plain, same)[1]
    assert "**The runs have other gate rows**, so their calls had other lengths." in machines(plain, other)[1]


def test_runs_of_different_suites_are_refused(machines: Command, plain: Path, tmp_path: Path) -> None:
    other = write_release(tmp_path / "other", models={"pruned": Model()})
    code, out, err = machines(plain, other)
    assert (code, out) == (4, "")
    assert "no variant of" in err
    assert "it has pruned" in err
    suite = SuiteFacts(path="bench/mail.toml", title="Is it spam?", digest="m", seeds=[0])
    code, out, err = machines(plain, write_release(tmp_path / "mail", suite=suite))
    assert (code, out) == (4, "")
    assert 'a run of "Is it spam?", and' in err
