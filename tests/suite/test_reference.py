"""[suite] reference: a file of published figures beside the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.suite.reader import load_suite


def write_suite(bench: Path, text: str, *, reference: str = "published.md") -> Path:
    suite = text.replace("[suite]\n", f'[suite]\nreference = "{reference}"\n', 1)
    (bench / "suite.toml").write_text(suite, "utf-8")
    return bench / "suite.toml"


def test_the_text_of_the_file_is_part_of_the_suite(bench: Path, suite_text: str) -> None:
    (bench / "published.md").write_text("| model | F1 |\n", "utf-8")
    assert load_suite(write_suite(bench, suite_text)).reference == "| model | F1 |\n"


def test_a_suite_needs_none(bench: Path, suite_text: str) -> None:
    (bench / "suite.toml").write_text(suite_text, "utf-8")
    assert load_suite(bench / "suite.toml").reference is None


def test_it_is_seen_from_the_file_that_states_it(bench: Path, suite_text: str) -> None:
    (bench / "published.md").write_text("theirs", "utf-8")
    write_suite(bench, suite_text)
    inner = bench / "inner"
    inner.mkdir()
    (inner / "own.toml").write_text('[suite]\ntitle = "own"\nextends = "../suite.toml"\n', "utf-8")
    assert load_suite(inner / "own.toml").reference == "theirs"


def test_a_file_that_is_not_there_is_an_error_of_the_suite(bench: Path, suite_text: str) -> None:
    with pytest.raises(
        SuiteError, match=r"\[suite\] reference: publishd.md: cannot be read as text: No such file"
    ):
        load_suite(write_suite(bench, suite_text, reference="publishd.md"))


def test_a_file_that_is_no_text_is_an_error_of_the_suite(bench: Path, suite_text: str) -> None:
    (bench / "published.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match=r"published.md: cannot be read as text: it is not UTF-8$"):
        load_suite(write_suite(bench, suite_text))
