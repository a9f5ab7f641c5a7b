"""slimgate.run.slice_plan: how many slices the gate rows can decide."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from support.tiny_suite import make_tiny_run

from slimgate.judge.rows_needed import count_planned_rows
from slimgate.run.slice_plan import SLICE_CHANGES, PlannedSlices, count_slice_groups, plan_slices

BUDGETS = "[budgets]\nslices.accuracy = { drop_points = 5.0 }\n\n[measure]\n"


def test_rows_of_a_file_are_one_group_within_each_slice(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path)
    table = run.rows.gate.table
    pairs = Counter(zip(table["label"].to_pylist(), table["file"].to_pylist(), strict=True))
    expected = [sorted(n for (label, _), n in pairs.items() if label == name) for name in ("neg", "pos")]
    groups = count_slice_groups(run.suite.setup, run.rows.gate)["label"]
    assert [sorted(sizes.tolist()) for sizes in groups.values()] == expected


def test_a_slice_of_grouped_rows_needs_what_its_groups_say(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{"[measure]\n": BUDGETS})
    (planned,) = plan_slices(run.suite, run.rows.gate)
    sizes = count_slice_groups(run.suite.setup, run.rows.gate)["label"].values()
    assert planned.sizes == tuple(int(group_sizes.sum()) for group_sizes in sizes)
    alone = count_planned_rows(0.05, discordance=SLICE_CHANGES)
    assert planned.needed == tuple(
        count_planned_rows(0.05, discordance=SLICE_CHANGES, sizes=group_sizes.astype(np.float64))
        for group_sizes in sizes
    )
    assert all(needed > alone for needed in planned.needed)


def test_the_line_says_what_each_slice_has_and_takes() -> None:
    planned = PlannedSlices("label", "accuracy", 5.0, "fail", ("int8",), (40, 40), (124, 124))
    assert planned.line == (
        "slices by label, accuracy: 0 of 2 can be decided at 5 points (40 rows each; about 124 needed)"
        ", undecided ones fail"
    )
    grouped = PlannedSlices("kind", "accuracy", 5.0, "warn", ("int8",), (40, 1500), (124, 1240))
    assert grouped.line == (
        "slices by kind, accuracy: 1 of 2 can be decided at 5 points "
        "(40 to 1,500 rows; about 124 to 1,240 needed), undecided ones only warn"
    )
