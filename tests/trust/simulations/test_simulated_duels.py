"""tools.simulations.duels in small: the script runs, its counts are right, a large delay is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimgate.judge.speed import Speedup
from tools.simulations import duels
from tools.simulations.duels import COLUMNS, Outcome, Plan, busy_core, make_summary, run_duels, write_encoder

pytestmark = pytest.mark.slow


def test_a_handful_of_duels_sees_a_delay_of_half_a_call(tmp_path: Path) -> None:
    model, inputs, call_ms = write_encoder(tmp_path, 2.0, 1)
    assert 0.2 < call_ms < 20.0
    plan = Plan(duels=3, delays=(0.0, 50.0), call_ms=2.0, seconds=0.5, reload=2)
    outcomes = list(run_duels(plan, model, inputs))
    assert [outcome.delay for outcome in outcomes] == [0.0, 50.0] * 3
    even, delayed = make_summary(outcomes)
    assert list(even) == list(COLUMNS)
    assert (even["planted delay"], even["duels"], delayed["planted delay"]) == ("0 %", 3, "50 %")
    assert delayed["raw slower"] == 3
    assert delayed["claimed faster"] == delayed["raw faster"] == 0
    assert delayed["rounds median"] >= 12
    assert 0.5 < delayed["speed-up median"] < 0.85


def outcome(interval: tuple[float, float], floor: float, mean: float, fastest: float) -> Outcome:
    return Outcome(0.0, Speedup(1.0, interval, 1.0, floor, 20), mean, fastest)


def test_the_table_counts_by_hand() -> None:
    row = make_summary(
        [
            outcome((0.90, 0.95), 0.01, 1.2, 1.06),  # slower, also after the floor
            outcome((0.97, 0.99), 0.05, 1.04, 1.0),  # slower, below the floor
            outcome((1.02, 1.04), 0.03, 0.94, 0.96),  # faster, below the floor
            outcome((0.99, 1.01), 0.01, 1.0, 0.9),
        ]
    )[0]
    assert (row["raw slower"], row["raw faster"]) == (2, 1)
    assert (row["claimed slower"], row["claimed faster"]) == (1, 0)
    assert (row["mean:5% slower"], row["mean:5% faster"]) == (1, 1)
    assert (row["min:5% slower"], row["min:5% faster"]) == (1, 1)
    assert (row["floor median"], row["floor p95"]) == ("2.0 %", "4.7 %")


def test_the_table_is_markdown_and_says_how_it_was_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(duels, "write_encoder", lambda *_: (Path(), {}, 5.2))
    monkeypatch.setattr(duels, "run_duels", lambda *_: iter([outcome((0.99, 1.01), 0.01, 1.0, 0.9)]))
    duels.main(["--duels", "1", "--delays", "0", "--shared"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("calls of 5.20 ms, 1 threads, one process, 1 s a duel, no load added, load")
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == list(COLUMNS)
    assert lines[4].startswith("| 0 %")


def test_the_busy_process_ends_with_the_load() -> None:
    with busy_core() as process:
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
