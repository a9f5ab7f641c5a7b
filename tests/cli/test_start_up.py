"""What each command may import: starting up takes most of the time of a small verdict."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
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


def modules_after(*arguments: str, cwd: Path) -> set[str]:
    """What a command has imported at its end, also by `import_module`, which -X importtime omits."""
    code = "import sys; from slimgate.cli.main import main; main(); sys.stderr.write('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=cwd
    )
    return set(done.stderr.split())


def heavy(modules: set[str]) -> set[str]:
    """The heavy packages among them."""
    return {module for module in modules if module in HEAVY}


def list_packages(modules: set[str]) -> set[str]:
    """The packages of slimgate among them, `slimgate.logs` of slimgate.logs.pairs."""
    return {".".join(name.split(".")[:2]) for name in modules if name.startswith("slimgate.")}


def test_the_version_imports_no_command() -> None:
    modules = imports_of("slimgate.cli.main", "--version")
    assert heavy(modules) == set()
    assert list_packages(modules) <= {"slimgate._system", "slimgate.cli", "slimgate.errors"}
    commands = {name for name in modules if name.startswith("slimgate.cli.")}
    assert commands <= {"slimgate.cli.main", "slimgate.cli.parser"}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_imports_its_arguments_alone(command: str) -> None:
    modules = imports_of("slimgate.cli.main", command, "--help")
    assert heavy(modules) == set()
    assert list_packages(modules) <= {"slimgate.cli", "slimgate.errors", "slimgate._system"}


def write_table(path: Path, scores: Iterable[bool]) -> None:
    rows = "".join(f"{row},{int(score)}\n" for row, score in enumerate(scores))
    path.write_text(f"id,score\n{rows}", "utf-8")


# of few changes the exact test counts too, which takes more functions of scipy
@pytest.mark.parametrize("period", [3, 60], ids=["many changes", "few changes"])
def test_a_verdict_on_tables_of_scores_imports_what_it_uses(period: int, tmp_path: Path) -> None:
    write_table(tmp_path / "base.csv", [True] * 300)
    write_table(tmp_path / "target.csv", [row % period > 0 for row in range(300)])
    modules = modules_after("judge", "base.csv", "target.csv", "--drop-points", "2", cwd=tmp_path)
    assert heavy(modules) == {"numpy", "pyarrow", "scipy"}
    # the functions alone: the package takes as long to import as numpy and pyarrow together
    assert "scipy.special._ufuncs" in modules
    assert "scipy.special" not in modules
    assert not {"scipy.stats", "scipy.optimize", "pyarrow.parquet", "jinja2", "markdown_it"} & modules
    assert list_packages(modules) <= {
        *("slimgate._system", "slimgate.budgets", "slimgate.cli", "slimgate.data", "slimgate.errors"),
        *("slimgate.judge", "slimgate.logs", "slimgate.outcomes", "slimgate.plugins", "slimgate.results"),
        # of the last three only what names units and figures
        *("slimgate.suite", "slimgate.record", "slimgate.report"),
    }
    of_others = {name for name in modules if re.match(r"slimgate\.(suite|record|report)\.", name)}
    assert of_others <= {"slimgate.suite.budget_units", "slimgate.report.figures"}
    assert (
        not {"slimgate.judge.scores", "slimgate.judge.behaviour", "slimgate.judge.metrics.registry"} & modules
    )


def test_the_functions_of_scipy_are_those_of_its_packages() -> None:
    code = """
from slimgate._system import special_functions
special_functions.import_functions_alone()
alone = [special_functions.ndtr, special_functions.bdtr]
values = special_functions.binom_pmf(3, 10, 0.2), special_functions.ndtri(0.3)
import sys
assert "scipy.special" not in sys.modules
import scipy.special, scipy.stats
assert alone == [scipy.special.ndtr, scipy.special.bdtr]
assert values == (scipy.stats.binom.pmf(3, 10, 0.2), scipy.stats.norm.ppf(0.3))
assert scipy.special.logsumexp([0.0, 0.0]) > 0.69
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_collecting_a_suite_imports_no_models_runs_or_reports() -> None:
    repository = Path(__file__).parents[2]
    # -s, or pytest would capture what -X importtime says of the imports of its collecting
    options = ("--collect-only", "-q", "-s", "-p", "no:cacheprovider")
    modules = imports_of("pytest", "bench", *options, cwd=repository)
    # pyarrow, as sources of rows are of tables
    assert heavy(modules) == {"numpy", "pyarrow", "pydantic"}
    assert not {"nltk", "sacrebleu", "pyarrow.compute", "pyarrow.parquet", "pyarrow.csv"} & modules
    assert not {"slimgate.logs", "slimgate.record", "slimgate.store"} & list_packages(modules)
    runs = {name for name in modules if name.startswith(("slimgate.run.", "slimgate.plugin.gates."))}
    assert runs == {"slimgate.run.progress"}
    reports = {name for name in modules if name.startswith("slimgate.report.")}
    assert {name.removeprefix("slimgate.report.terminal") for name in reports} == {"", ".live", ".progress"}
