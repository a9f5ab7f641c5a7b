"""Load tests that would flatter the target: requests cut off, another load, other prompts, short answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tool_logs import aiperf_line, write_lines

from slimgate.cli.main import main
from slimgate.errors import DataError
from slimgate.logs.find import read_any_log
from slimgate.logs.load_tests import pair_loads


@pytest.fixture
def judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """judge("speedup_min = 1.2", base, target, again): the exit code and the output."""

    def run(budget: str, base: Path, target: Path, again: Path, *options: str) -> tuple[int, str]:
        budgets = tmp_path / "budgets.toml"
        budgets.write_text(f"[budgets]\nlatency = {{ {budget} }}\n")
        files = [str(base), str(target), "--repeat", str(again), "--budgets", str(budgets)]
        code = main(["judge", *files, *options])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def write_guidellm(
    path: Path,
    seed: int,
    *,
    answered: int,
    seconds: float,
    incomplete: int = 0,
    tokens: int | None = 128,
    users: int | None = 160,
    **config: Any,
) -> Path:
    """A report of guidellm 0.5 with one load; answers take `seconds`, give or take 5 %."""
    noise = np.random.default_rng(seed).uniform(0.95, 1.05, answered)
    kind = "throughput" if users is None else "concurrent"
    strategy = {"type_": kind, "worker_count": 1, "max_concurrency": users}

    def request(at: int, latency: float) -> dict[str, Any]:
        return {
            "request_start_time": 100.0 + at / 100,
            "request_end_time": 100.0 + at / 100 + latency,
            "request_latency": latency,
            "time_to_first_token_ms": 100 * latency,
            "inter_token_latency_ms": 7 * latency,
            "prompt_tokens": 76,
            "output_tokens": tokens,
        }

    requests = {
        "successful": [request(at, float(seconds * noise[at])) for at in range(answered)],
        "errored": [],
        "incomplete": [request(at, 0.0) for at in range(incomplete)],
        "total": None,
    }
    benchmark = {"config": {"strategy": strategy, **config}, "requests": requests, "duration": 60.0}
    report = {
        "metadata": {"version": 1, "guidellm_version": "0.5.0"},
        "args": {"model": path.stem},
        "benchmarks": [benchmark],
    }
    path.write_text(json.dumps(report), "utf-8")
    return path


def guidellm_runs(folder: Path, **target: Any) -> tuple[Path, Path, Path]:
    """A base of 320 answers of 10 s, a target, and the base's second run."""
    shared = {"users": target["users"]} if "users" in target else {}
    return (
        write_guidellm(folder / "base.json", 1, answered=320, seconds=10.0, **shared),
        write_guidellm(folder / "target.json", 3, **target),
        write_guidellm(folder / "again.json", 2, answered=320, seconds=10.0, **shared),
    )


# ---- unfinished requests


@pytest.mark.parametrize("budget", ["speedup_min = 1.2", "p50_ms_max = 6000.0"])
def test_a_run_that_cut_off_most_requests_is_refused(tmp_path: Path, judge: Any, budget: str) -> None:
    code, output = judge(budget, *guidellm_runs(tmp_path, answered=40, seconds=5.0, incomplete=280))
    assert code == 4
    assert "target.json: 280 of 320 requests of load c160 were cut off by the end of the run" in output
    assert "run it for longer, or until all requests are answered" in output


def test_as_many_requests_as_may_fail_may_be_cut_off(tmp_path: Path, judge: Any) -> None:
    code, output = judge(
        "speedup_min = 1.2", *guidellm_runs(tmp_path, answered=304, seconds=5.0, incomplete=16)
    )
    assert code == 0
    assert "16 cancelled or cut off by its end" in output
    base, target, again = guidellm_runs(tmp_path, answered=303, seconds=5.0, incomplete=17)
    assert judge("speedup_min = 1.2", base, target, again)[0] == 4
    # the base and its second run too
    assert "17 of 320 requests" in judge("speedup_min = 1.2", target, base, again)[1]
    assert "17 of 320 requests" in judge("speedup_min = 1.2", base, again, target)[1]


def test_a_request_cut_off_is_slow_in_the_target_alone(tmp_path: Path) -> None:
    base, target, _ = (
        read_any_log(path) for path in guidellm_runs(tmp_path, answered=304, seconds=5.0, incomplete=16)
    )
    [pair] = pair_loads(base, target, None, ())
    assert len(pair.target_requests) == 320
    assert [request.failed for request in pair.target_requests[304:]] == ["cut off or cancelled"] * 16
    [mirrored] = pair_loads(target, base, None, ())
    assert len(mirrored.base.requests) == 304
    assert len(mirrored.target_requests) == 320


def test_times_of_the_95th_percentile_count_cut_off_requests(tmp_path: Path, judge: Any) -> None:
    runs = guidellm_runs(tmp_path, answered=304, seconds=5.0, incomplete=16)
    code, output = judge("p95_ms_max = 6000.0", *runs)
    assert code == 1
    assert "INCONCLUSIVE" in output


def test_requests_that_aiperf_cancelled_are_limited_too(tmp_path: Path) -> None:
    base = write_lines(tmp_path / "a/profile_export.jsonl", [aiperf_line(at, 100.0) for at in range(20)])
    lines = [aiperf_line(at, 50.0, was_cancelled=at % 2 == 1) for at in range(20)]
    target = write_lines(tmp_path / "b/profile_export.jsonl", lines)
    with pytest.raises(DataError, match="10 of 20 requests of load all were cut off .* or cancelled"):
        pair_loads(read_any_log(base), read_any_log(target), None, ())


@pytest.mark.parametrize("place", ["config", "args"])
def test_a_sample_of_guidellms_requests_is_refused(tmp_path: Path, place: str) -> None:
    path = write_guidellm(tmp_path / "a.json", 1, answered=20, seconds=1.0)
    report = json.loads(path.read_text())
    if place == "config":
        report["benchmarks"][0]["config"]["sample_size"] = 20
    else:
        report["args"]["sample_requests"] = 20
    path.write_text(json.dumps(report))
    with pytest.raises(DataError, match="load c160 has a sample of 20 requests .* without --sample-requests"):
        read_any_log(path)
