"""`slimgate lines`: runs as JSON lines."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.judge_command import judge_into
from support.kl_logs import write_kl_log
from support.load_test_files import write_vllm
from support.releases import SUITE, Model, write_release
from support.sample_record import change_variant

from slimgate.cli.main import main
from slimgate.judge.budget_tables import FlipsBudget, SliceBudget
from slimgate.record.files import read_record_file
from slimgate.record.lines import Line, make_lines

PAGE = Path(__file__).parents[2] / "docs/ci.md"


def printed(capsys: pytest.CaptureFixture[str], *folders: Path) -> list[dict[str, object]]:
    assert main(["lines", *map(str, folders)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_line_has_every_column_and_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed_lines = printed(
        capsys, write_release(tmp_path / "a"), write_release(tmp_path / "b", created="2026-12-01")
    )
    assert {tuple(line) for line in printed_lines} == {tuple(Line.model_fields)}
    assert Counter(str(line["run"]) for line in printed_lines) == {
        "2026-11-01T08:00:00+00:00": 7,
        "2026-12-01": 7,
    }
    assert {line["suite"] for line in printed_lines} == {SUITE}


def test_figures_have_columns_and_what_was_not_measured_is_null(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_kind = {(line["variant"], line["kind"]): line for line in printed(capsys, write_release(tmp_path))}
    accuracy = by_kind["int8", "metric"]
    assert (accuracy["name"], accuracy["value"], accuracy["reference_value"], accuracy["rows"]) == (
        "accuracy",
        0.9425,
        0.95,
        8000,
    )
    assert accuracy["drop"] == pytest.approx(0.75)
    assert (accuracy["budgets"], accuracy["verdict"]) == ("drop_points=1", "PASS")
    assert accuracy["p50_ms"] is None
    latency = by_kind["int8", "latency"]
    figures = [latency[key] for key in ("name", "p50_ms", "speedup", "speedup_low", "speedup_high", "p95_ms")]
    assert figures == ["b1", 5.0, 2.0, 1.9, 2.1, None]
    assert by_kind["int8", "size"]["artifact_bytes"] == 1_000_000
    assert ("teacher", "behaviour") not in by_kind


def test_the_verdicts_of_the_lines_are_those_that_the_run_counts(tmp_path: Path) -> None:
    models = {
        "int8": Model(flips=FlipsBudget(flips_max_percent=5.0), slices=SliceBudget(drop_points=0.1)),
        "shown": Model(gated=False, reason="x"),
    }
    record = read_record_file(write_release(tmp_path, models=models)).record
    gated = [line for line in make_lines(record) if line.gated and line.verdict]
    assert [(line.kind, line.verdict) for line in gated] == [("metric", "PASS"), ("behaviour", "FAIL")]
    # The line of behaviour has the worst verdict of its two budgets: the flips hold, a slice does not.
    assert sum(len((line.budgets or "").split(",")) for line in gated) == 3
    verdict = record.verdict
    assert (verdict.passed, verdict.failed) == (2, 1)


@pytest.mark.parametrize("kind", ["load test", "KL log"])
def test_judged_files_have_lines_with_their_verdicts(tmp_path: Path, kind: str) -> None:
    budgets = tmp_path / "budgets.toml"
    if kind == "load test":
        base, target = write_vllm(tmp_path / "a.json", 1), write_vllm(tmp_path / "b.json", 2, slower=0.5)
        files = [base, target, "--repeat", write_vllm(tmp_path / "c.json", 3)]
        budgets.write_text("[budgets]\nlatency = { speedup_min = 1.1 }\n", "utf-8")
    else:
        files = [write_kl_log(tmp_path / "kl.txt", np.full(200, 0.01))]
        budgets.write_text("[budgets]\nkl = { mean_max = 0.2 }\n", "utf-8")
    record = judge_into(tmp_path / "report", [*files, "--budgets", budgets]).record
    [model] = record.variants[1:]
    [result] = model.results()
    judged, *figures = [line for line in make_lines(record) if line.variant == model.name]
    assert (judged.kind, judged.name or "", judged.verdict) == (result.kind, result.name, "PASS")
    assert figures
    assert {(line.kind, line.verdict) for line in figures} == {(judged.kind, None)}
    assert all(line.time_ms if kind == "load test" else line.value for line in figures)


def test_a_model_with_an_error_has_a_line(tmp_path: Path) -> None:
    record = read_record_file(write_release(tmp_path)).record
    *_, last = make_lines(change_variant(record, "int8", error="keep_layers: no such block"))
    assert (last.kind, last.variant, last.error) == ("error", "int8", "keep_layers: no such block")


def test_the_page_names_every_column() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text().split("## Dashboards")[1], re.M)
    assert rows == [(name, field.description) for name, field in Line.model_fields.items()]


def test_a_path_that_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lines", str(tmp_path)]) == 4
    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", 1)
    assert "expected a run.json or the folder that holds it" in captured.err
