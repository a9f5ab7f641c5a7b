from __future__ import annotations

import pytest

from slimgate.judge.decision import choose_band


@pytest.mark.parametrize(
    ("points", "word"),
    [
        (-6.0, "gain"),
        (-1.01, "gain"),
        (-1.0, "negligible"),
        (0.0, "negligible"),
        (1.0, "negligible"),
        (1.01, "small"),
        (2.0, "small"),
        (3.0, "depends on the use"),
        (5.0, "depends on the use"),
        (5.01, "bad"),
    ],
)
def test_the_band_of_a_drop(points: float, word: str) -> None:
    assert choose_band(points) == word
