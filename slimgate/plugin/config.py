"""What slimgate reads from pytest's configuration and keeps in it; light."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slimgate.errors import SuiteError

if TYPE_CHECKING:
    from slimgate.plugin.session import Session
    from slimgate.run.gate_results import GateResult
    from slimgate.run.shards import Shard

# In the config: the session, once a suite is found or asked for.
SESSION: pytest.StashKey[Session] = pytest.StashKey()
# In the config: lines on files that lie where suites do and are none.
NOTES: pytest.StashKey[list[str]] = pytest.StashKey()
# In the config: whether this run has decided if it starts the server of the processes that are timed.
SERVER_CONSIDERED: pytest.StashKey[bool] = pytest.StashKey()
# In the config: by suite file, variant and workload, what pytest-benchmark's files say beside the times.
BENCHMARKS: pytest.StashKey[dict[tuple[Path, str, str], dict[str, Any]]] = pytest.StashKey()
# In a test: what it found, for the record.
RESULTS: pytest.StashKey[list[GateResult]] = pytest.StashKey()
SHARD_OPTION = "slimgate_shard"


def project_root(config: pytest.Config) -> Path:
    """pytest's rootdir. Without a configuration file, what the folder of the call and the tests share.

    Where no file says otherwise, pytest takes the values of options that it does not know yet for paths
    (`--slimgate-store /cache`), and its rootdir may then be `/`:
    https://docs.pytest.org/en/stable/reference/customize.html#finding-the-rootdir
    """
    root = config.rootpath
    if config.inipath is not None or config.getoption("rootdir") or (root / "setup.py").is_file():
        return root
    folder = config.invocation_params.dir
    named = (Path(folder, argument.partition("::")[0]) for argument in config.args)
    return Path(os.path.commonpath([folder, *(path for path in named if path.exists())]))


def shard_of(config: pytest.Config) -> Shard | None:
    """The shard that this run is; None where it is the whole."""
    text: str | None = config.getoption(SHARD_OPTION)
    if text is None:
        return None
    from slimgate.run.shards import parse_shard

    return parse_shard(text)


def describe_no_budget(shown: str, why: str) -> SuiteError:
    """The error of --slimgate-require-budget on a suite."""
    return SuiteError(
        f"{shown}: --slimgate-require-budget: nothing would be gated, since {why}; give [budgets] a limit, "
        "or leave the suite out"
    )
