"""The source of sums: what is asked, what is right, and how long the rows are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.sources.prompts import Params, source


def rows(tmp_path: Path, **options: object) -> list[tuple[str, str]]:
    """(prompt, reference) of every row."""
    table = source.read(Params.model_validate({"about": "sums", **options}), scratch=tmp_path)["all"]
    return list(zip(table["prompt"].to_pylist(), table["reference"].to_pylist(), strict=True))


@pytest.mark.parametrize("padded", [False, True])
def test_every_sum_comes_once_and_its_reference_is_right(tmp_path: Path, padded: bool) -> None:
    sums = rows(tmp_path, largest=12, padded=padded)
    assert len({prompt for prompt, _ in sums}) == len(sums) == 144
    for prompt, reference in sums:
        first, other = prompt.removesuffix("=").split("+")
        assert int(first) + int(other) == int(reference)


def test_padded_numbers_are_equally_long(tmp_path: Path) -> None:
    assert ("07+05=", "12") in rows(tmp_path, largest=12, padded=True)
    assert ("07+05=", "012") in rows(tmp_path, largest=100, padded=True)
    assert {len(prompt + reference) for prompt, reference in rows(tmp_path, padded=True)} == {9}
    assert ("7+5=", "12") in rows(tmp_path)
