"""Counts, tables and versions that pages state are those of the code and of the files beside it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from slimgate.cli.main import WRONG_USAGE
from slimgate.judge.rows_needed import count_planned_rows
from slimgate.plugins.loading import list_known_plugins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINNED = dict(
    re.findall(r"^([\w-]+)==(\d+\.\d+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
)
LOWEST = dict(
    re.findall(r"^([\w-]+)==([\d.]+)", (ROOT / "constraints-lowest.txt").read_text("utf-8"), re.MULTILINE)
)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def rows_of_table(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below some words, without its header."""
    lines = text.partition(heading)[2].splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("|")) :]
    end = next((i for i, line in enumerate(table) if not line.startswith("|")), len(table))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:end]]


@pytest.mark.parametrize(
    "row", rows_of_table(page("how_many_rows.md"), "# How many rows"), ids=lambda row: row[0]
)
def test_the_rows_that_a_budget_takes_are_the_planners(row: list[str]) -> None:
    budget, *counts = row
    margin = float(budget.split()[0]) / 100
    planned = [count_planned_rows(margin, discordance=share) for share in (0.01, 0.03, 0.05, 0.1)]
    assert [int(count.replace(",", "")) for count in counts] == planned


def test_rows_on_both_sides_are_the_planners() -> None:
    stated = re.search(r"table: ([\d,]+) instead of ([\d,]+)", page("how_many_rows.md"))
    assert stated is not None
    planned = [count_planned_rows(0.01, discordance=0.05, two_sided=two) for two in (True, False)]
    assert [int(count.replace(",", "")) for count in stated.groups()] == planned


def test_the_versions_that_work_are_those_of_the_package() -> None:
    works = {row[0]: row[1:] for row in rows_of_table(page("versions.md"), "## What works")}
    assert PROJECT["requires-python"].removeprefix(">=") in works["Python"][0]
    assert works["PyTorch"][0] == PINNED["torch"]
    assert works["transformers"][0] == f"{LOWEST['transformers']}, {PINNED['transformers']}"
    core = [LOWEST[name] for name in ("numpy", "scipy", "pyarrow", "pydantic")]
    assert works["numpy, SciPy, pyarrow, pydantic"][0].partition(";")[0] == ", ".join(core)
    runtimes = [PINNED[name] for name in ("onnxruntime", "openvino", "ctranslate2")]
    assert works["ONNX Runtime, OpenVINO, CTranslate2"][0] == ", ".join(runtimes)


def test_one_table_has_the_exit_codes_and_other_pages_lead_to_it() -> None:
    table = rows_of_table(page("run.md"), "## Exit codes")
    assert [int(code) for code, _ in table] == list(range(6))
    assert WRONG_USAGE == 4
    for name in ("own_model.md", "judge.md", "judge_logs.md", "ci.md", "troubleshooting.md"):
        assert "(run.md#exit-codes)" in page(name), name


def test_no_page_counts_the_steps_by_hand() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    stated_count = re.compile(r"(?:more than )?(\d+) steps\b(?! of| in)", re.IGNORECASE)
    assert stated_count.findall("It has more than 40 steps, and 12 Steps; 30 steps of training") == [
        "40",
        "12",
    ]
    count = len(list_known_plugins("step"))
    counts = {path.name: stated_count.findall(path.read_text("utf-8")) for path in pages}
    assert [
        (name, number)
        for name, numbers in counts.items()
        for number in numbers
        if int(number) not in (count, *range(10))
    ] == []
