"""The tests of a suite as pytest collects them have the parameters of those that run."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from slimgate.plugin import gates

WHEN_RUN = {
    name: test
    for file in Path(gates.__file__).parent.glob("[a-z]*.py")
    for name, test in vars(import_module(f"slimgate.plugin.gates.{file.stem}")).items()
    if name.startswith("test_")
}
COLLECTED = {name: test for name, test in vars(gates).items() if name.startswith("test_")}


def test_each_is_collected() -> None:
    assert COLLECTED.keys() == WHEN_RUN.keys()
    assert len(COLLECTED) >= 10


@pytest.mark.parametrize("name", WHEN_RUN)
def test_each_has_the_same_parameters(name: str) -> None:
    assert inspect.signature(COLLECTED[name]) == inspect.signature(WHEN_RUN[name])
