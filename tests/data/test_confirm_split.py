"""The split confirm: rows that no step and no gate reads, cut by the gate's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.tiny_suite import make_tiny_run

from fixtures.models.tiny import write_rows
from slimgate.data.parts import SplitColumns
from slimgate.data.splits import Cut, SplitSizes, cut_splits, read_splits, write_splits
from slimgate.errors import DataError, SuiteError
from slimgate.plugin.plan_text import list_plan_lines
from slimgate.plugins.rows import CONFIRM, SPLITS
from slimgate.report.terminal.summary import join_line

SIZES = 'splits = { train = "rest", calibration = 0, selection = 16 }'
MORE = 'splits = { train = "rest", calibration = 0, selection = 8, confirm = 12 }'


def table(count: int, *, start: int = 0, per_file: int = 2, word: str = "text") -> pa.Table:
    numbers = range(start, start + count)
    return pa.table(
        {
            "text": [f"{word} {k}" for k in numbers],
            "label": ["ab"[k % 2] for k in numbers],
            "file": [f"f{k // per_file}" for k in numbers],
        }
    )


def cut_of(parts: dict[str, pa.Table], group: str | None = None, **sizes: Any) -> Cut:
    return cut_splits(parts, SplitSizes(**sizes), SplitColumns(("text",), "label", group), seed=0)


def values(result: Cut, column: str) -> dict[str, set[Any]]:
    return {name: set(split[column].to_pylist()) for name, split in result.splits.items()}


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert tuple(cut_of({"all": table(40)}).splits) == SPLITS


def test_the_gate_has_the_same_rows_with_and_without_it() -> None:
    for sizes in ({"gate": 40}, {"gate": 40, "selection": 10, "calibration": 5}, {}):
        without = cut_of({"all": table(200)}, "file", **sizes)
        with_it = cut_of({"all": table(200)}, "file", confirm=30, **sizes)
        assert with_it.reports["gate"] == without.reports["gate"]
        assert with_it.splits["gate"].equals(without.splits["gate"])
        assert with_it.reports[CONFIRM].n == 30


@pytest.mark.parametrize("group", [None, "file"])
def test_no_text_and_no_group_is_in_confirm_and_elsewhere(group: str | None) -> None:
    twice = pa.concat_tables([table(120), table(60, word="text")])
    result = cut_of({"all": twice}, group, train=40, calibration=8, selection=10, gate=30, confirm=20)
    assert result.reports[CONFIRM].n == 20
    for column in ("text", *([group] if group else [])):
        by_split = values(result, column)
        rest = set().union(*(by_split[name] for name in SPLITS))
        assert not by_split[CONFIRM] & rest


def test_labels_are_drawn_in_the_shares_of_their_part() -> None:
    assert cut_of({"all": table(200)}, confirm=30).reports[CONFIRM].label_counts == {"a": 15, "b": 15}


def test_a_named_part_is_complete_but_for_gate_rows() -> None:
    parts = {
        "train": table(60),
        "gate": table(20, start=100),
        "confirm": pa.concat_tables([table(20, start=200), table(3, start=100), table(4, start=0)]),
    }
    result = cut_of(parts, selection=8, calibration=0)
    by_split = values(result, "text")
    assert result.reports["gate"].n == 20
    assert result.reports[CONFIRM].n == 24  # three of its texts are the gate's
    assert result.reports[CONFIRM].dropped_overlap == 3
    assert {f"text {k}" for k in range(4)} <= by_split[CONFIRM]  # the train rows of these texts went
    assert not by_split[CONFIRM] & set().union(*(by_split[name] for name in SPLITS))


def test_gate_rest_leaves_the_stated_rows_to_confirm() -> None:
    parts = {"train": table(40), "gate": table(50, start=100)}
    result = cut_of(parts, gate="rest", confirm=10)
    assert (result.reports["gate"].part, result.reports["gate"].n) == ("gate", 50)
    assert (result.reports[CONFIRM].part, result.reports[CONFIRM].n) == ("train", 10)


def test_it_is_written_and_read(tmp_path: Path) -> None:
    result = cut_of({"all": table(60)}, confirm=10)
    write_splits(result, tmp_path)
    again = read_splits(tmp_path)
    assert again.reports == result.reports
    assert again.splits[CONFIRM].equals(result.splits[CONFIRM])


def test_a_source_names_its_file(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "more.csv", 40, seed=3).read_text("utf-8")
    (tmp_path / "more.csv").write_text(rows.replace(",f", ",m").replace(",mile", ",file"), "utf-8")
    run = make_tiny_run(tmp_path, **{'gate = "gate.csv" }': 'gate = "gate.csv", confirm = "more.csv" }'})
    report = run.rows.reports[CONFIRM]
    assert (report.part, report.n + report.dropped_overlap) == (CONFIRM, 40)


def reads_confirm(_model: Any, _context: Any) -> None:
    """A step of a user's own that wants the rows."""


reads_confirm.reads = ("train", "confirm")  # type: ignore[attr-defined]


def test_a_step_that_reads_it_is_refused(tmp_path: Path) -> None:
    step = "shorter = { steps = [{ keep_layers = [0, 2] }] }"
    replacement = 'shorter = { steps = [{ "tests.data.test_confirm_split:reads_confirm" = {} }] }'
    with pytest.raises(SuiteError, match='reads "confirm": confirm rows are for verdicts only'):
        make_tiny_run(tmp_path, **{SIZES: MORE, step: replacement})


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("0.5", "confirm: budget accuracy drop_points 0.5 (shorter, pruned): 12 rows in 3 groups CANNOT"),
        ("90.0", "confirm: 12 rows in 3 groups can decide every planned budget on a drop"),
    ],
)
def test_the_plan_says_whether_its_rows_can_decide(tmp_path: Path, points: str, message: str) -> None:
    budgets = f"[budgets]\naccuracy = {{ drop_points = {points} }}\nflips = {{ flips_max_percent = 1.0 }}\n"
    run = make_tiny_run(tmp_path, **{SIZES: MORE, "[measure]": budgets + "[measure]"})
    lines = [join_line(line) for line in list_plan_lines(run, None)]
    assert "confirm 12" in next(line for line in lines if line.startswith("rows: "))
    confirm_lines = [line for line in lines if line.startswith("confirm: ")]
    assert len(confirm_lines) == 1
    assert confirm_lines[0].startswith(message)
    assert ("CANNOT" in confirm_lines[0]) == (points == "0.5")


def test_a_run_on_the_gate_cannot_ask_for_its_rows(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{SIZES: MORE})
    with pytest.raises(DataError, match="a run on gate asked for confirm rows"):
        run.get_encoder(CONFIRM)
