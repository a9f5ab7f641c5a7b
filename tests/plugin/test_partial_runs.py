"""Parts of one suite, run one after the other over one record: by -k, xdist, pytest-benchmark's flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.user_repository import Ran, run_pytest

pytestmark = pytest.mark.slow

TWO = "bench/two.toml"
TIMES = "times.json"


def ran_with_record(folder: Path, *arguments: str) -> Ran:
    """A run, with the record as it stood afterwards."""
    ran = run_pytest(folder, TWO, "-v", "-rs", *arguments)
    return Ran(ran.code, ran.out, ran.seconds, ran.folder, ran.lines, {"two": ran.record("two")})


@pytest.fixture(scope="module")
def one_test(repository: Path) -> Ran:
    """One test, on an empty store and without an earlier record."""
    return ran_with_record(repository, "-k", "int8-mcc")


@pytest.fixture(scope="module")
def spread(one_test: Ran) -> Ran:
    """The whole suite by two workers."""
    return ran_with_record(one_test.folder, "-n", "2")


@pytest.fixture(scope="module")
def benchmarks(spread: Ran) -> Ran:
    """What pytest-benchmark takes for benchmarks."""
    return ran_with_record(spread.folder, "--benchmark-only", f"--benchmark-json={TIMES}")


def test_one_test_of_a_suite_is_a_partial_record(one_test: Ran) -> None:
    assert one_test.code == 0
    assert "1 passed" in one_test.lines[-1]
    verdict = one_test.record("two")["verdict"]
    # 3 variants: 6 qualities, 3 behaviours, 3 sizes; 3 self-tests; latency of 4 models, 3 duels: 22 checks
    assert (verdict["status"], verdict["missing"]) == ("partial", 21)
    assert set(one_test.find_variant("two", "int8")["quality"]) == {"mcc"}
    assert one_test.find_variant("two", "int8")["behaviour"] is None
    assert one_test.find_variant("two", "same")["artifact"] is None


def test_workers_give_a_whole_record_but_for_latency(spread: Ran) -> None:
    assert spread.code == 0
    record = spread.record("two")
    assert (record["verdict"]["status"], record["verdict"]["missing"]) == ("INCONCLUSIVE", 8)
    for name in ("same", "int8", "unsure"):
        assert set(spread.find_variant("two", name)["quality"]) == {"accuracy", "mcc"}
        assert spread.find_variant("two", name)["behaviour"]["n"] == 400
        assert spread.find_variant("two", name)["size"]["verdict"] == "PASS"
        assert (spread.folder / f"reports/latest/two/outcomes/{name}.parquet").is_file()
    assert record["self_test"]["identical"]["message"]
    assert spread.find_variant("two", "teacher")["latency"] == {}
    assert spread.record("two")["machine"]["peak_rates"] is None
    assert "INTERNALERROR" not in spread.out


def test_benchmark_only_runs_latency_and_fills_it_in(spread: Ran, benchmarks: Ran) -> None:
    assert benchmarks.code == 0
    assert "8 passed, 14 skipped" in benchmarks.out
    assert benchmarks.find_outcome(f"{TWO}::test_latency[int8-b1]") == "PASSED"
    record = benchmarks.record("two")
    assert record["verdict"]["missing"] == 0
    assert benchmarks.find_variant("two", "int8")["latency"]["b1"]["rounds"] == 3
    assert benchmarks.find_variant("two", "int8")["latency"]["b1"]["duel_rounds"] >= 7
    assert benchmarks.find_variant("two", "teacher")["latency"]["b1"]["speedup"] is None
    rates = benchmarks.record("two")["machine"]["peak_rates"]
    assert rates["all_threads"]["float32_gflop_per_s"] > 0
    delay = record["self_test"]["planted_delay"]
    assert (delay["workload"], delay["seen"]) == ("b1", delay["speedup_interval"][1] < 1)
    assert spread.record("two")["self_test"]["planted_delay"] is None
    before, after = spread.find_variant("two", "int8"), benchmarks.find_variant("two", "int8")
    assert after["quality"]["mcc"] == before["quality"]["mcc"]
    assert after["behaviour"] == before["behaviour"]


def test_benchmark_json_says_what_was_timed_and_how_much_faster(benchmarks: Ran) -> None:
    text = (benchmarks.folder / TIMES).read_text("utf-8")
    assert "UNSERIALIZABLE" not in text
    entries = {entry["extra_info"]["variant"]: entry for entry in json.loads(text)["benchmarks"]}
    assert set(entries) == {"teacher", "same", "int8", "unsure"}
    assert {entry["group"] for entry in entries.values()} == {f"{TWO} b1"}
    assert entries["int8"]["params"] == {"variant": "int8", "workload": "b1"}
    extra, measured = entries["int8"]["extra_info"], benchmarks.find_variant("two", "int8")["latency"]["b1"]
    assert (extra["suite"], extra["workload"]) == (TWO, "b1")
    assert (extra["speedup"], extra["speedup_interval"]) == (
        measured["speedup"],
        measured["speedup_interval"],
    )
    assert "speedup" not in entries["teacher"]["extra_info"]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--benchmark-skip",), "--benchmark-skip"),
        (("--benchmark-disable",), "--benchmark-disable"),
        (("-p", "no:benchmark"), "pytest-benchmark is not loaded"),
    ],
    ids=["skip", "disable", "not-loaded"],
)
def test_latency_that_cannot_be_timed_is_skipped_with_the_reason(
    benchmarks: Ran, flags: tuple[str, ...], reason: str
) -> None:
    ran = run_pytest(benchmarks.folder, f"{TWO}::test_latency[int8-b1]", "-rs", *flags)
    assert ran.code == 0
    assert f"latency was not measured: {reason}" in ran.out
    assert "1 skipped" in ran.lines[-1]
    assert ran.record("two")["verdict"]["missing"] == 0


def test_a_teacher_that_cannot_be_built_is_one_line_for_all(benchmarks: Ran) -> None:
    text = (benchmarks.folder / TWO).read_text() + '\n[teacher]\nsteps = [{ "own_steps:Broken" = {} }]\n'
    (benchmarks.folder / "bench/no_teacher.toml").write_text(text)
    ran = run_pytest(benchmarks.folder, "bench/no_teacher.toml", "-k", "mcc or size", "-q")
    message = "teacher: step own_steps:Broken: RuntimeError: the wheel came off (own_steps.py, line 30)"
    assert ran.code == 1
    assert "6 failed" in ran.lines[-1]
    assert ran.record("no_teacher")["verdict"]["messages"] == [message]
    assert ran.record("no_teacher")["verdict"]["status"] == "FAIL"
    assert "Traceback" not in ran.out
    assert "INTERNALERROR" not in ran.out


BAD_RUNTIME = """

class Runtime:
    class Params(Table):
        pass

    kinds = frozenset({"torch"})

    def load(self, folder, params, *, device, threads):
        raise OSError("no such device")
"""


def test_an_unforeseen_error_is_in_the_record_and_never_a_pass(benchmarks: Ran) -> None:
    (benchmarks.folder / "own_runtime.py").write_text(
        "from slimgate.plugins.params import Table\n" + BAD_RUNTIME
    )
    text = (benchmarks.folder / TWO).read_text()
    runtime = 'runtime = { name = "own_runtime:Runtime" }'
    text = text.replace(
        "[variants]", f'[variants]\nodd = {{ steps = [{{ "own_steps:Same" = {{}} }}], {runtime} }}'
    )
    (benchmarks.folder / "bench/strange.toml").write_text(text)
    ran = run_pytest(benchmarks.folder, "bench/strange.toml", "-k", "odd-accuracy or (size and odd)", "-q")
    assert ran.code == 1
    assert "1 failed, 1 passed" in ran.lines[-1]
    assert ran.find_variant("strange", "odd")["error"].endswith("no such device")
    assert ran.record("strange")["verdict"]["status"] == "FAIL"


UNTIMED = [("--benchmark-disable",), ("-p", "no:benchmark"), ("-n", "1")]
SPEED = "\n[budgets.variants.int8]\nlatency = { speedup_min = 0.1 }\n"


@pytest.mark.parametrize("flags", UNTIMED, ids=["disable", "not-loaded", "n1"])
def test_a_speed_budget_that_cannot_be_judged_fails(benchmarks: Ran, flags: tuple[str, ...]) -> None:
    text = (benchmarks.folder / TWO).read_text() + SPEED
    (benchmarks.folder / "bench/speed.toml").write_text(text)
    ran = run_pytest(benchmarks.folder, "bench/speed.toml::test_speedup[int8-b1]", *flags)
    assert ran.code == 1
    assert "int8: b1 has a speed budget, but latency was not measured" in ran.out
    assert "bench/speed.toml: FAIL (0 PASS, 0 FAIL, 1 error, 0 INCONCLUSIVE" in ran.out
    assert ran.record("speed")["this_run"]["status"] == "FAIL"


def test_a_speed_not_measured_again_is_dated_and_the_run_fails(benchmarks: Ran) -> None:
    text = (benchmarks.folder / TWO).read_text() + SPEED
    (benchmarks.folder / "bench/again.toml").write_text(text)
    speed = "bench/again.toml::test_speedup[int8-b1]"
    before = run_pytest(benchmarks.folder, speed).find_variant("again", "int8")["latency"]["b1"]
    ran = run_pytest(benchmarks.folder, speed, "--benchmark-skip")
    assert ran.code == 1
    int8, verdict = ran.find_variant("again", "int8"), ran.record("again")["verdict"]
    assert [carried["kind"] for carried in int8["carried"]] == ["speedup"]
    assert int8["latency"]["b1"] == before
    # the speed-up and the planted delay that it was judged by
    assert (verdict["status"], verdict["errors"], verdict["carried"]) == ("FAIL", 1, 2)


def test_a_hand_written_test_gets_the_suite_that_its_mark_names(benchmarks: Ran) -> None:
    (benchmarks.folder / "test_mine.py").write_text(
        """
import pytest
from slimgate.plugins.workloads import Workload

@pytest.mark.slimgate("bench/two.toml")
def test_variants(suite, teacher, variant, outcomes, duel):
    assert variant.name in suite.variants
    assert len(outcomes) == len(teacher.outcomes)
    assert duel(variant, Workload(1)).speedup > 0

@pytest.mark.slimgate("bench/nowhere.toml")
def test_nowhere(suite):
    pass
"""
    )
    ran = run_pytest(benchmarks.folder, "test_mine.py::test_variants", "-v")
    assert "bench/nowhere.toml: cannot be read" in ran.out
    (benchmarks.folder / "test_mine.py").write_text(
        (benchmarks.folder / "test_mine.py").read_text().split('@pytest.mark.slimgate("bench/nowhere')[0]
    )
    ran = run_pytest(benchmarks.folder, "test_mine.py", "-v")
    assert ran.code == 0
    assert "3 passed" in ran.lines[-1]
    assert ran.find_outcome("test_mine.py::test_variants[two-int8]") == "PASSED"
