"""What each command may import: starting up takes most of the time of a small verdict."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from slimgate.cli.main import COMMANDS

# Packages that take long to import.
HEAVY = frozenset(
    {"numpy", "pyarrow", "pydantic", "pandas", "scipy", "sklearn", "torch", "transformers"}
    | {"datasets", "matplotlib"}
)


def imports_of(*arguments: str, cwd: Path | None = None) -> set[str]:
    """The modules that `python -m ARGUMENTS` imports, by -X importtime."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
    )
    return set(re.findall(r"^import time:[^|]*\|[^|]*\| +(\S+)$", done.stderr, re.M))


def heavy(modules: set[str]) -> set[str]:
    """The heavy packages among them."""
    return {module for module in modules if module in HEAVY}


def own(modules: set[str]) -> set[str]:
    """The packages of slimgate among them, `slimgate.logs` of slimgate.logs.pairs."""
    return {".".join(name.split(".")[:2]) for name in modules if name.startswith("slimgate.")}


def test_the_version_imports_no_command() -> None:
    modules = imports_of("slimgate.cli.main", "--version")
    assert heavy(modules) == set()
    assert own(modules) <= {"slimgate._system", "slimgate.cli", "slimgate.errors"}
    commands = {name for name in modules if name.startswith("slimgate.cli.")}
    assert commands <= {"slimgate.cli.main", "slimgate.cli.parser"}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_its_arguments_alone(command: str) -> None:
    modules = imports_of("slimgate.cli.main", command, "--help")
    assert heavy(modules) == set()
    assert own(modules) <= {"slimgate.cli", "slimgate.errors", "slimgate._system"}


def test_a_verdict_on_tables_imports_no_models_and_no_reports(tmp_path: Path) -> None:
    # of few changes the exact test takes scipy.stats
    for name, period in (("base", 2), ("target", 3)):
        rows = "".join(f"{row},{int(row % period == 0)}\n" for row in range(300))
        (tmp_path / f"{name}.csv").write_text(f"id,score\n{rows}", "utf-8")
    modules = imports_of("slimgate.cli.main", "judge", "base.csv", "target.csv", cwd=tmp_path)
    # -X importtime also lists pandas, whose import was stopped
    assert heavy(modules) - {"pandas"} == {"numpy", "pyarrow", "pydantic", "scipy"}
    assert not {"scipy.stats", "scipy.optimize", "pandas.core", "slimgate.report.markdown"} & modules
    assert not {name for name in modules if name.startswith("slimgate.run.")}


@pytest.mark.slow
def test_collecting_a_suite_imports_no_models_runs_or_reports() -> None:
    repository = Path(__file__).parents[2]
    # -s, or pytest would capture what -X importtime says of the imports of its collecting
    options = ("--collect-only", "-q", "-s", "-p", "no:cacheprovider")
    modules = imports_of("pytest", "bench", *options, cwd=repository)
    # pyarrow, as sources of rows are of tables
    assert heavy(modules) == {"numpy", "pyarrow", "pydantic"}
    assert not {"nltk", "sacrebleu"} & modules
    assert not {"slimgate.logs", "slimgate.record", "slimgate.store"} & own(modules)
    runs = {name for name in modules if name.startswith(("slimgate.run.", "slimgate.plugin.gates."))}
    assert runs == {"slimgate.run.other_load", "slimgate.run.progress", "slimgate.run.self_tests"}
    reports = {name for name in modules if name.startswith("slimgate.report.")}
    assert {name.removeprefix("slimgate.report.terminal") for name in reports} == {"", ".live", ".progress"}
