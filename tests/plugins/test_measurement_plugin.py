"""A measurement of a user that lacks an attribute or a method is one clear error."""

from __future__ import annotations

from typing import Any

import pytest

from slimgate.errors import SuiteError
from slimgate.plugins.measurement import Measurement
from slimgate.plugins.user_plugins import make_plugin


def make_measurement(**attributes: Any) -> type[Measurement]:
    methods = {"measure": lambda *_: 1.0}
    return type("Own", (Measurement,), {**methods, **attributes})


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "it has no title; see Measurement in slimgate/plugins/measurement.py"),
        ({"title": None}, "title is None, expected the name of the figure"),
        ({"title": " "}, "title is ' ', expected the name of the figure"),
        ({"title": "energy", "unit": None}, "unit is None, expected a text"),
        ({"title": "energy", "readings": 5}, "readings is 5, expected 1 for a figure that is counted"),
        ({"title": "energy", "readings": True}, "readings is True, expected 1"),
    ],
)
def test_a_wrong_attribute_is_named(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        make_plugin("measurement", make_measurement(**attributes))


def test_what_cannot_measure_is_refused() -> None:
    with pytest.raises(
        SuiteError, match=r"it has no measure; see Measurement in slimgate/plugins/measurement.py"
    ):
        make_plugin("measurement", type("Own", (Measurement,), {"title": "energy"}))


def test_a_plain_object_is_completed() -> None:
    class Plain:
        title = "price"

        def measure(self, *_: object) -> float:
            return 2.0

    plugin = make_plugin("measurement", Plain)
    assert (plugin.title, plugin.unit, plugin.readings, plugin.measure(None)) == ("price", "", 10, 2.0)
