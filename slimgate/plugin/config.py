"""Options of pytest, and what slimgate reads from and keeps in its configuration. Cheap to import."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slimgate.errors import SuiteError

if TYPE_CHECKING:
    from slimgate.plugin.session import Session
    from slimgate.run.gate_results import GateResult
    from slimgate.run.shards import Shard

# In the config: the session, once a suite was found or a test asked for one.
SESSION: pytest.StashKey[Session] = pytest.StashKey()
# In the config: lines about files that lie where suites do and are no suites.
NOTES: pytest.StashKey[list[str]] = pytest.StashKey()
# In the config: by suite file, variant and workload, the facts in pytest-benchmark's files next to the times.
BENCHMARKS: pytest.StashKey[dict[tuple[Path, str, str], dict[str, Any]]] = pytest.StashKey()
# In a test: its results, for the record.
RESULTS: pytest.StashKey[list[GateResult]] = pytest.StashKey()
# In a gate that ran: its failure, or None if it passed. A gate that ended with an error has none.
VERDICT: pytest.StashKey[BaseException | None] = pytest.StashKey()
SHARD_OPTION = "slimgate_shard"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options and the ini value of slimgate."""
    group = parser.getgroup("slimgate", "budget gates of compressed models")
    add = group.addoption
    add("--slimgate-report", metavar="DIR", help="Folder of records and reports (default: reports/latest)")
    add("--slimgate-store", metavar="DIR", help="Folder of the store (default: .slimgate)")
    add(
        "--slimgate-rebuild",
        action="store_true",
        help="Build and predict everything again, even if the store has the results",
    )
    add(
        "--slimgate-plan", action="store_true", help="Print what a run would build and measure; build nothing"
    )
    add(
        "--slimgate-confirm",
        action="store_true",
        help="Judge on the rows of the split confirm, and only the variants that passed on the gate rows",
    )
    add(
        "--slimgate-baseline",
        metavar="PATH",
        help="Compare with an earlier run: a run.json, its folder, or a folder of baselines. If the gate "
        "demands less than the baseline's, the suite must give a reason",
    )
    add(
        "--slimgate-require-budget",
        action="store_true",
        help="Exit with code 4 if a suite has no budget on a gated variant",
    )
    add("--slimgate-device", metavar="DEVICE", default="cpu", help="Device: cpu (default), cuda, cuda:1, …")
    add(
        "--slimgate-shard",
        metavar="K/N",
        type=_check_shard_option,
        help="Build and measure only part K of N of each suite's variants; slimgate merge joins the parts",
    )
    add(
        "--slimgate-engine",
        choices=["local", "ray"],
        default="local",
        help="Machine that builds and runs models: this one (local) or a Ray cluster (ray)",
    )
    add(
        "--slimgate-ray-address",
        metavar="ADDRESS",
        help="Address of the Ray cluster's head (default: start a cluster on this machine)",
    )
    add(
        "--slimgate-ray-needs",
        metavar="NEEDS",
        action="append",
        default=[],
        help="Resources for each model, such as cpus=2,gpus=1,memory=8G, or for one variant, such as "
        "NAME:cpus=4 (repeatable)",
    )
    add(
        "--slimgate-time-limit",
        metavar="SECONDS",
        type=_parse_seconds,
        help="Time limit in seconds for the steps of each variant, without the steps of the variant that "
        "it starts from; if the steps take longer, the tests of the variant fail",
    )
    parser.addini("slimgate_files", "Glob patterns of suite files", type="args", default=["bench/*.toml"])


def _parse_seconds(text: str) -> float:
    """Parses a time of the command line. Raises argparse's error, which ends pytest with exit code 4."""
    try:
        limit = float(text)
    except ValueError:
        limit = nan
    if not 0 < limit < inf:
        raise ArgumentTypeError(f"{text!r} was given, expected a number of seconds above 0, such as 3600")
    return limit


def _check_shard_option(text: str) -> str:
    """Checks the option and returns its text, because xdist can send its workers only text."""
    from slimgate.run.shards import parse_shard

    try:
        parse_shard(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def is_xdist_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def find_project_root(config: pytest.Config) -> Path:
    """pytest's rootdir; without a configuration file, the common folder of the call and the tests.

    Without such a file, pytest takes the values of options that it does not know yet for paths
    (`--slimgate-store /cache`), and its rootdir may then be `/`:
    https://docs.pytest.org/en/stable/reference/customize.html#finding-the-rootdir
    """
    root = config.rootpath
    if config.inipath is not None or config.getoption("rootdir") or (root / "setup.py").is_file():
        return root
    folder = config.invocation_params.dir
    named = (Path(folder, argument.partition("::")[0]) for argument in config.args)
    return Path(os.path.commonpath([folder, *(path for path in named if path.exists())]))


def read_shard_option(config: pytest.Config) -> Shard | None:
    """The shard of this run; None if it runs the whole suite."""
    text: str | None = config.getoption(SHARD_OPTION)
    if text is None:
        return None
    from slimgate.run.shards import parse_shard

    return parse_shard(text)


def make_no_budget_error(shown: str, why: str) -> SuiteError:
    """The error of --slimgate-require-budget. shown: the suite. why: why nothing of it is gated."""
    return SuiteError(
        f"{shown}: --slimgate-require-budget: nothing would be gated, since {why}; add a limit to "
        "[budgets], or leave the suite out"
    )
