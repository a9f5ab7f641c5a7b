"""Default threads: what a container may use, not what its host has; and how threads wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slimgate._system.threads import (
    choose_thread_count,
    limit_spinning,
    make_tokenizer_settings,
    read_cpu_quota,
    tokenizer_threads,
)


@pytest.mark.parametrize(("text", "cpus"), [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)])
def test_a_quota_counts_whole_cpus(tmp_path: Path, text: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert read_cpu_quota(tmp_path / "cpu.max") == cpus


@pytest.mark.parametrize("text", ["max 100000", ""])
def test_no_limit_is_no_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert read_cpu_quota(tmp_path / "cpu.max") > 1000


def test_a_system_without_cgroups_has_no_limit(tmp_path: Path) -> None:
    assert read_cpu_quota(tmp_path / "none") > 1000


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "300000"}, "300000"),
        ({"OMP_WAIT_POLICY": "active"}, None),
        ({"OMP_NUM_THREADS": "2"}, "1000"),
    ],
)
def test_threads_spin_briefly_unless_the_environment_says_how(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str | None
) -> None:
    monkeypatch.setattr(os, "environ", dict(environment))
    limit_spinning()
    assert os.environ == environment | ({} if expected is None else {"GOMP_SPINCOUNT": expected})


HOOKS = """
import os, sys

def pytest_collection_finish():
    print("spin", os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules)
"""


@pytest.mark.parametrize(("suites", "expected"), [(True, "spin 1000 False"), (False, "spin None False")])
def test_a_run_of_suites_sets_it_before_torch_is_loaded(
    bench: Path, suite_text: str, *, suites: bool, expected: str
) -> None:
    if suites:
        pytest.importorskip("torch", reason="the extra models")
        (bench / "gate.toml").write_text(suite_text)
    (bench / "conftest.py").write_text(HOOKS)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP", "OMP"))}
    command = [sys.executable, "-m", "pytest", "bench", "--collect-only", "-q", "-s", "--rootdir", "."]
    done = subprocess.run(command, cwd=bench.parent, env=environment, capture_output=True, text=True)
    assert expected in done.stdout.splitlines(), done.stdout + done.stderr


@pytest.mark.parametrize("setting", [None, "", "many", "0"])
def test_there_is_one_thread_at_least_and_no_more_than_cpus(
    monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if setting is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert 1 <= choose_thread_count() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("setting", "threads"),
    [("1", 1), ("1,1", 1), ("4096", len(os.sched_getaffinity(0)))],
    ids=["one", "list", "all cores"],
)
def test_the_variable_of_openmp_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, threads: int
) -> None:
    monkeypatch.setattr("slimgate._system.threads.CPU_MAX", tmp_path / "none")
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert choose_thread_count() == threads


@pytest.mark.parametrize(
    ("threads", "rows", "shared"), [(1, 32, "false"), (4, 1, "false"), (4, 2, "true"), (1, 1, "false")]
)
def test_a_tokenizer_shares_batches_alone(threads: int, rows: int, shared: str) -> None:
    assert make_tokenizer_settings(threads, rows) == {
        "TOKENIZERS_PARALLELISM": shared,
        "RAYON_NUM_THREADS": str(threads),
    }


def test_the_tokenizers_settings_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "maybe")
    monkeypatch.delenv("RAYON_NUM_THREADS", raising=False)
    with tokenizer_threads(2, 8):
        assert (os.environ["TOKENIZERS_PARALLELISM"], os.environ["RAYON_NUM_THREADS"]) == ("true", "2")
    assert os.environ["TOKENIZERS_PARALLELISM"] == "maybe"
    assert "RAYON_NUM_THREADS" not in os.environ
