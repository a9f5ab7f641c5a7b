"""The project's folder: suites are named from it, reports/ and .slimgate/ lie in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def project_root(config: pytest.Config) -> Path:
    """pytest's rootdir. Without a configuration file, what the folder of the call and the tests share.

    Where no file says otherwise, pytest takes the values of options that it does not know yet for paths
    (`--slimgate-store /cache`), and its rootdir may then be `/`:
    https://docs.pytest.org/en/stable/reference/customize.html#finding-the-rootdir
    """
    root = config.rootpath
    if config.inipath is not None or config.getoption("rootdir") or (root / "setup.py").is_file():
        return root
    here = config.invocation_params.dir
    named = (Path(here, argument.partition("::")[0]) for argument in config.args)
    return Path(os.path.commonpath([here, *(path for path in named if path.exists())]))
