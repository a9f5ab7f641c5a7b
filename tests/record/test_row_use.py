"""The store's log of what was judged on which rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimgate.errors import BuildError
from slimgate.record.row_use import (
    RowUse,
    RowUseLog,
    Timing,
    make_model_id,
    make_row_use_facts,
    merge_row_use,
    read_row_use,
)
from slimgate.record.run import RowUseFacts, TimingFacts
from slimgate.store.prune import list_entries
from slimgate.store.store import Store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Store(tmp_path / "store").root


def test_rows_that_nobody_has_judged_have_no_use(root: Path) -> None:
    assert (read_row_use(root, "rows").runs, read_row_use(root, "rows").count) == (0, 0)


def test_a_run_with_a_new_model_is_a_further_use(root: Path) -> None:
    first, again, another = (RowUseLog(root, "rows", str(run)) for run in range(3))
    first.note(["t/a", "t/b"])
    again.note(["t/b"])
    assert (read_row_use(root, "rows").runs, read_row_use(root, "rows").count) == (1, 2)
    another.note(["t/b", "t/c"])
    assert (read_row_use(root, "rows").runs, read_row_use(root, "rows").count) == (2, 3)
    assert read_row_use(root, "others").runs == 0


def test_the_tests_of_one_run_are_one_use(root: Path) -> None:
    log = RowUseLog(root, "rows", "run")
    for models in (["t/a"], ["t/a", "t/b"], ["t/a", "t/b"]):
        log.note(models)
    assert (read_row_use(root, "rows").runs, read_row_use(root, "rows").count) == (1, 2)
    assert len((root / "row_use/rows.jsonl").read_text().splitlines()) == 2  # nothing is noted twice


def test_a_variant_beside_another_teacher_is_another_model() -> None:
    assert make_model_id("a" * 64, "b" * 64) != make_model_id("c" * 64, "b" * 64)


def test_timings_are_counted_over_all_runs(root: Path) -> None:
    for run, passed in enumerate((False, False, True)):
        RowUseLog(root, "rows", str(run)).note(
            ["t/a"], [Timing("t/a", "b1", passed), Timing("t/a", "b32", True)]
        )
    RowUseLog(root, "rows", "other").note(["t/b"], [Timing("t/b", "b1", False)])
    facts = make_row_use_facts(read_row_use(root, "rows"), {"int8": "t/a", "pruned": "t/b"}, run="3")
    assert facts.timings == [
        TimingFacts(variant="int8", workload="b1", times=3, passed=1),
        TimingFacts(variant="int8", workload="b32", times=3, passed=3),
    ]


def test_a_half_written_line_of_a_killed_run_is_passed_over(root: Path) -> None:
    RowUseLog(root, "rows", "1").note(["t/a"])
    with (root / "row_use/rows.jsonl").open("a") as stream:
        stream.write('{"run": "2", "mod')
    RowUseLog(root, "rows", "3").note(["t/b"])
    assert read_row_use(root, "rows").runs == 2


def test_damaged_lines_are_passed_over(root: Path) -> None:
    RowUseLog(root, "rows", "1").note(["t/a"])
    with (root / "row_use/rows.jsonl").open("ab") as stream:
        stream.write(b'5\n[]\n{"run": "2"}\n{"run": "2", "models": 5, "timings": []}\n\xff\x00\n')
        stream.write(b'{"run": "2", "models": ["t/c"], "timings": [["t/c", "b1"]]}\n')
    RowUseLog(root, "rows", "3").note(["t/b"])
    assert (read_row_use(root, "rows").runs, read_row_use(root, "rows").count) == (2, 2)


def test_the_log_of_use_is_no_entry_of_the_store(root: Path) -> None:
    RowUseLog(root, "rows", "1").note(["t/a"])
    assert list_entries(root) == []


def test_a_store_that_refuses_is_one_line(root: Path) -> None:
    (root / "row_use").write_text("a file in the folder's place")
    with pytest.raises(BuildError, match=r"store .*: cannot be written"):
        RowUseLog(root, "rows", "1").note(["t/a"])


def test_what_a_deleted_store_forgot_the_last_record_still_knows(root: Path) -> None:
    for run in ("1", "2"):
        RowUseLog(root, "rows", run).note([f"t/{run}"])
    before = make_row_use_facts(read_row_use(root, "rows"), {}, run="2")
    (root / "row_use/rows.jsonl").unlink()
    RowUseLog(root, "rows", "3").note(["t/2", "t/3"])
    use = read_row_use(root, "rows").with_log(before.log)
    assert (use.runs, use.count) == (3, 3)
    assert use.log == {"1": ["t/1"], "2": ["t/2"], "3": ["t/3"]}
    assert use.with_log(use.log) == use


def shard(run_id: str, **log: list[str]) -> RowUseFacts:
    """What a shard's store knows of the use of rows; run_id: the run of the shard."""
    return make_row_use_facts(RowUse({run: frozenset(models) for run, models in log.items()}), {}, run=run_id)


def test_shards_of_a_run_are_one_use_and_all_stores_count() -> None:
    merged = merge_row_use([shard("r3", r1=["t/a"], r3=["t/b"]), shard("r4", r2=["t/c"], r4=["t/d", "t/e"])])
    assert merged is not None
    assert (merged.runs, merged.models, merged.run) == (3, 5, "r4")
    assert merged.log["r4"] == ["t/b", "t/d", "t/e"]


def test_shards_that_share_a_store_count_each_run_once() -> None:
    shared = {"r1": ["t/a"], "r2": ["t/b"], "r3": ["t/c"]}
    merged = merge_row_use([shard("r2", **shared), shard("r3", **shared)])
    assert merged is not None
    assert (merged.runs, merged.models) == (2, 3)


def test_merged_timings_are_those_of_the_store_that_timed_most() -> None:
    facts = {"variant": "int8", "workload": "b1", "passed": 1}
    smaller, larger = (RowUseFacts(runs=1, models=1, timings=[TimingFacts(times=n, **facts)]) for n in (2, 5))
    merged = merge_row_use([larger, smaller])
    assert merged is not None
    assert [timing.times for timing in merged.timings] == [5]
    assert merge_row_use([]) is None
