"""slimgate.run.duels: real processes of a tiny model; a planted delay of the whole call cannot be missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import MeasureError
from slimgate.judge import speed
from slimgate.plugin.gates.latency import measure_delay
from slimgate.plugins.workloads import Workload
from slimgate.results.checks import TEACHER
from slimgate.run import duels as module
from slimgate.run.duels import COPY, DELAYED, Duels
from slimgate.run.measure.duel import ContenderSpec, DuelTimes
from slimgate.run.run import SuiteRun

pytestmark = pytest.mark.slow

MEASURE = "[measure]\nworkloads = [{ batch = 1 }, { batch = 16, tokens = 32 }]\nmax_seconds = 1\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    return make_tiny_run(tmp_path_factory.mktemp("duels"), **{"[measure]\n": MEASURE})


@pytest.fixture
def duels(run: SuiteRun) -> Iterator[Duels]:
    teacher_duels = Duels(run.make_handle(TEACHER))
    yield teacher_duels
    teacher_duels.close()


def test_a_planted_delay_is_seen_and_measured_once(duels: Duels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PLANTED_DELAYS", (1.0, 9.0))  # the second for a machine that stands still
    reported: list[Any] = []
    first = measure_delay(duels, reported.append)
    assert first is not None
    assert measure_delay(duels, reported.append) == first
    assert reported[0] == reported[1]
    assert reported[0].key == (
        "self_test",
        "teacher",
        "planted_delay",
    )
    facts = reported[0].facts
    assert facts.workload == "b16x32"  # the longest call
    assert (facts.seen, facts.percent in (100.0, 900.0)) == (True, True)
    share = facts.percent / 100
    assert share <= first < 5 * share  # more than was meant where the median call was timed too long
    low, high = facts.speedup_interval
    assert 0.2 / share < low < high < 1.0
    assert set(duels._contenders) == {TEACHER, COPY}  # the delayed one has ended
    assert DELAYED not in duels._contenders


@pytest.mark.parametrize(
    ("threads", "expected"), [((2, 2, 2), 0.9), ((2, 2, 1), 0.4), ((1, 1, 1), 0.0), ((1, 1, 2), 0.9)]
)
def test_threads_without_a_core_count_where_a_model_has_several(
    monkeypatch: pytest.MonkeyPatch, run: SuiteRun, threads: tuple[int, ...], expected: float
) -> None:
    """With one thread, the time in which another process had the core is taken off."""
    seconds = np.full(12, 0.01)
    names = (TEACHER, COPY, "student")
    measured = DuelTimes(
        blocks=dict.fromkeys(names, seconds),
        fastest=dict.fromkeys(names, 0.01),
        rounds=12,
        calls=dict.fromkeys(names, 4),
        queued_threads={TEACHER: 0.4, COPY: 0.3, "student": 0.9},
    )
    contenders = {
        name: SimpleNamespace(spec=SimpleNamespace(name=name), threads=count)
        for name, count in zip(names, threads, strict=True)
    }
    monkeypatch.setattr(module, "run_duel", lambda *_, **__: measured)
    monkeypatch.setattr(
        Duels, "_get_contenders", lambda _, models: {name: contenders[name] for name in models}
    )
    teacher = run.make_handle(TEACHER)
    models = {TEACHER: teacher, COPY: teacher, "student": teacher}
    workload = run.largest_workload
    speedups = Duels(teacher)._run_duel(models, workload, {"student": None}, max_seconds=1.0)
    assert speedups["student"].queued_threads == expected


def test_a_delay_of_nothing_is_not_seen(duels: Duels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "PLANTED_DELAYS", (0.0,))
    reported: list[Any] = []
    assert measure_delay(duels, reported.append) is None
    assert reported[0].facts.seen is False
    assert reported[0].facts.message.endswith("speed-up verdicts are INCONCLUSIVE")


def test_larger_delays_are_tried_if_the_smallest_is_hidden(
    duels: Duels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "PLANTED_DELAYS", (0.0, 0.0, 2.0, 9.0))
    reported: list[Any] = []
    visible = measure_delay(duels, reported.append)
    assert visible is not None
    facts = reported[0].facts
    assert facts.percent in (200.0, 900.0)  # a machine that stands still hides the smaller one too
    assert visible >= facts.percent / 100
    assert (facts.seen, facts.clearance) == (True, 1.0 + visible)
    assert facts.message.startswith(
        f"self-test, planted delay of {facts.percent:.0f} %: batch 16 × 32 tokens: 0."
    )
    assert facts.speedup_interval[1] < 1.0


def test_a_shorter_model_duels_on_the_suites_threads(duels: Duels, run: SuiteRun) -> None:
    measured = duels.measure_speedup(run.make_handle("shorter"), Workload(16, 32))
    assert measured.rounds >= 12
    assert measured.threads == 1
    assert measured.interval[0] <= measured.speedup <= measured.interval[1]
    assert measured.claimed_interval[0] < measured.interval[0]
    assert measured.speedup > 1.0  # two of four blocks


def test_a_process_that_dies_ends_all_of_them(duels: Duels, run: SuiteRun) -> None:
    duels.measure_speedup(run.make_handle("shorter"), Workload(1))
    duels._contenders["shorter"]._process.kill()
    with pytest.raises(MeasureError, match="shorter: the timing process failed"):
        duels.measure_speedup(run.make_handle("shorter"), Workload(1))
    assert duels._contenders == {}


def break_model(monkeypatch: pytest.MonkeyPatch, broken: str, *, folder: Path) -> None:
    """The contender of this name is loaded from a folder without a model."""
    make_spec = module._make_spec

    def make_broken_spec(name: str, model: Any) -> ContenderSpec:
        spec = make_spec(name, model)
        return replace(spec, folder=folder) if name == broken else spec

    monkeypatch.setattr(module, "_make_spec", make_broken_spec)


def test_a_model_that_cannot_be_loaded_leaves_no_process_behind(
    duels: Duels, run: SuiteRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The teacher's answer to "load" is not the answer to the next duel's first question."""
    break_model(monkeypatch, COPY, folder=tmp_path)
    with pytest.raises(MeasureError, match=f"{COPY}: the timing process failed"):
        duels.measure_speedup(run.make_handle("shorter"), Workload(1))
    assert duels._contenders == {}
    monkeypatch.undo()
    assert duels.measure_speedup(run.make_handle("shorter"), Workload(1)).rounds >= 12


def test_variants_share_a_duel(duels: Duels, run: SuiteRun, monkeypatch: pytest.MonkeyPatch) -> None:
    shorter, pruned = run.make_handle("shorter"), run.make_handle("pruned")
    first = duels.measure_speedup(shorter, Workload(1), companions=[pruned])
    assert set(duels._contenders) == {TEACHER, COPY, "shorter", "pruned"}
    assert first.speedup > 1.2  # two of four blocks
    monkeypatch.setattr(module, "run_duel", lambda *_, **__: pytest.fail("it times again"))
    second = duels.measure_speedup(pruned, Workload(1))
    assert (second.rounds, second.noise_floor) == (first.rounds, first.noise_floor)
    assert 0.5 < second.speedup < 2.0  # as large as the teacher: zeros take as long
    monkeypatch.undo()
    again = duels.measure_speedup(pruned, Workload(1))  # a result is used once
    assert again.interval != second.interval
    assert set(duels._contenders) == {TEACHER, COPY, "pruned"}


def test_variants_of_a_duel_have_budgets_of_their_own(run: SuiteRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rounds go on until each verdict holds, for at most the sum of the times of all."""
    answers: list[Any] = []

    def run_scripted(*_: Any, enough: Any, max_seconds: float, **__: Any) -> DuelTimes:
        seconds = {TEACHER: 1.0, COPY: 1.0, "shorter": 0.5, "pruned": 1 / 1.5}  # pruned: at its budget
        noise = np.resize([0.95, 1.05], 12)
        teacher_blocks = dict.fromkeys((TEACHER, COPY), np.ones(12))
        blocks = teacher_blocks | {name: seconds[name] * noise for name in ("shorter", "pruned")}
        answers.extend([max_seconds, enough(blocks), enough({**blocks, "pruned": 0.3 * noise})])
        return DuelTimes(blocks, seconds, 12, dict.fromkeys(seconds, 1), dict.fromkeys(seconds, 0.0))

    monkeypatch.setattr(module, "run_duel", run_scripted)
    monkeypatch.setattr(
        Duels, "_get_contenders", lambda _, models: {name: make_idle(name) for name in models}
    )
    budget = SimpleNamespace(limit=1.5)
    budgets = SimpleNamespace(find_speed_budget=lambda _workload: budget)
    limited = replace(run.suite, budgets={"shorter": budgets, "pruned": budgets})
    monkeypatch.setattr(run, "suite", limited)
    pair = run.make_handle("shorter"), run.make_handle("pruned")
    assert Duels(run.make_handle(TEACHER)).measure_speedup(
        pair[0], Workload(1), companions=[pair[1]]
    ).speedup == pytest.approx(2.0, rel=0.06)
    assert answers == [6.0, False, True]  # 1 s for a call, 3 times for each budget


def make_idle(name: str) -> Any:
    """A contender that is never called."""
    return SimpleNamespace(spec=SimpleNamespace(name=name), threads=1)


def test_after_a_dead_process_each_variant_has_its_own_duel(
    duels: Duels, run: SuiteRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    break_model(monkeypatch, "pruned", folder=tmp_path)
    shorter, pruned = run.make_handle("shorter"), run.make_handle("pruned")
    assert duels.measure_speedup(shorter, Workload(1), companions=[pruned]).rounds >= 12
    with pytest.raises(MeasureError, match="pruned: the timing process failed"):
        duels.measure_speedup(pruned, Workload(1))
    assert duels.measure_speedup(shorter, Workload(16, 32), companions=[pruned]).rounds >= 12
    assert set(duels._contenders) == {TEACHER, COPY, "shorter"}


@pytest.mark.parametrize(
    ("most_bytes", "most_variants", "expected"),
    [
        pytest.param(2 << 30, 8, ["a", "b", "c"], id="all"),
        pytest.param(2 << 30, 2, ["a", "b"], id="two"),
        pytest.param(400, 8, ["a", "b"], id="four models of the teacher's size"),
        pytest.param(1, 8, ["a"], id="one is always timed"),
    ],
)
def test_a_duel_has_as_many_variants_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch, most_bytes: int, most_variants: int, expected: list[str]
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", most_bytes)
    monkeypatch.setattr(module, "MOST_VARIANTS", most_variants)
    teacher, *variants = (
        make_sized(name, size) for name, size in zip("tabc", (100, 30, 30, 30), strict=True)
    )
    chosen = Duels(teacher)._choose_variants(variants[0], variants[1:])
    assert [variant.name for variant in chosen] == expected


def test_on_a_gpu_each_variant_has_a_duel_of_its_own() -> None:
    teacher, first, second = (make_sized(name, 30, "cuda:0") for name in "tab")
    assert Duels(teacher)._choose_variants(first, [second]) == [first]


def test_a_variant_is_timed_once(duels: Duels, run: SuiteRun, monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[list[str]] = []
    time_variants = Duels._time_variants

    def note_and_time(self: Duels, variants: Any, *arguments: Any) -> Any:
        timed.append([variant.name for variant in variants])
        return time_variants(self, variants, *arguments)

    monkeypatch.setattr(Duels, "_time_variants", note_and_time)
    shorter, pruned = run.make_handle("shorter"), run.make_handle("pruned")
    duels.measure_speedup(shorter, Workload(1), companions=[pruned])
    duels.measure_speedup(shorter, Workload(1), companions=[pruned])  # as if its test ran again
    assert timed == [["shorter", "pruned"], ["shorter"]]


def test_an_error_of_a_companion_is_not_that_of_a_variant(
    duels: Duels, run: SuiteRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a tokenizer of the user that refuses a row."""
    make_workload = SuiteRun.make_workload

    def refuse_pruned(self: SuiteRun, name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pruned":
            raise KeyError("row 3")
        return make_workload(self, name, *arguments, **options)

    monkeypatch.setattr(SuiteRun, "make_workload", refuse_pruned)
    shorter, pruned = run.make_handle("shorter"), run.make_handle("pruned")
    assert duels.measure_speedup(shorter, Workload(1), companions=[pruned]).rounds >= 12
    with pytest.raises(KeyError, match="row 3"):
        duels.measure_speedup(pruned, Workload(1))


def make_sized(name: str, size: int, device: str = "cpu") -> Any:
    """A model whose artifact has this many bytes."""
    artifact = SimpleNamespace(manifest={"bytes": size})
    run = SimpleNamespace(device=device)
    return SimpleNamespace(name=name, built=SimpleNamespace(artifact=artifact), run=run)
