"""Bounds of packages: each has a reason, and constraints-lowest.txt has each lower bound exactly."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BOUNDED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["models"]]


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


@pytest.mark.parametrize("text", BOUNDED)
def test_a_lower_bound_is_the_version_that_lowest_installs(text: str) -> None:
    requirement, pins = Requirement(text), _pins("constraints-lowest.txt")
    bounds = {part.operator: part.version for part in requirement.specifier}
    assert Version(bounds[">="]) == Version(pins[requirement.name])
    assert set(bounds) <= {">=", "<"}


@pytest.mark.parametrize("text", BOUNDED)
def test_constraints_are_inside_the_bounds(text: str) -> None:
    requirement = Requirement(text)
    assert requirement.specifier.contains(_pins("constraints.txt")[requirement.name])


def test_only_the_next_major_release_is_excluded() -> None:
    upper = {Requirement(text).name for text in BOUNDED if "<" in text}
    assert upper == {"pydantic", "transformers"}


def test_the_demo_pins_what_its_rows_are_read_from() -> None:
    from slimgate.data.sources.library_docs import Params

    exact = {Requirement(text).name: Requirement(text) for text in PROJECT["optional-dependencies"]["demo"]}
    for package in Params().libraries:
        assert [part.operator for part in exact[package].specifier] == ["=="]
        assert exact[package].specifier.contains(_pins("constraints.txt")[package])


def test_extras_have_no_underscore() -> None:
    # pip 23 does not find slimgate[lm_eval] as lm-eval
    assert not [name for name in PROJECT["optional-dependencies"] if "_" in name]
