"""The options of `pytest` that slimgate adds, and its ini value."""

from __future__ import annotations

from argparse import ArgumentTypeError
from math import inf, nan

import pytest

from slimgate.plugin.sharding import shard_option


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and the ini value of slimgate."""
    group = parser.getgroup("slimgate", "budget gates of compressed models")
    add = group.addoption
    add("--slimgate-report", metavar="DIR", help="Folder of records and reports (default: reports/latest)")
    add("--slimgate-store", metavar="DIR", help="Folder of the store (default: .slimgate)")
    add("--slimgate-rebuild", action="store_true", help="Build and predict everything again")
    add("--slimgate-plan", action="store_true", help="Print what would be built and measured; build nothing")
    add(
        "--slimgate-confirm",
        action="store_true",
        help="Judge only what passed on the gate, once more, on the split confirm",
    )
    add(
        "--slimgate-baseline",
        metavar="PATH",
        help="An earlier run.json, or a folder of baselines; a weaker gate needs a reason",
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
        type=shard_option,
        help="Build and measure the K-th of N parts of each suite's variants; see slimgate merge",
    )
    add(
        "--slimgate-engine",
        choices=["local", "ray"],
        default="local",
        help="Machines that build and predict: this one (local), or a Ray cluster (ray)",
    )
    add("--slimgate-ray-address", metavar="ADDRESS", help="Head of the Ray cluster (default: start one)")
    add(
        "--slimgate-ray-needs",
        metavar="NEEDS",
        action="append",
        default=[],
        help="Resources of a model: cpus=2,gpus=1,memory=8G, or of one VARIANT:cpus=4 (repeatable)",
    )
    add(
        "--slimgate-time-limit",
        metavar="SECONDS",
        type=_seconds,
        help="Time limit for the own steps of a variant; if they take longer, its tests fail",
    )
    parser.addini("slimgate_files", "Glob patterns of suite files", type="args", default=["bench/*.toml"])


def _seconds(text: str) -> float:
    """A time for the command line. Raises argparse's error, which ends pytest with exit code 4."""
    try:
        limit = float(text)
    except ValueError:
        limit = nan
    if not 0 < limit < inf:
        raise ArgumentTypeError(f"{text!r} was given, expected a number of seconds above 0, such as 3600")
    return limit
