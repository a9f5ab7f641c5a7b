"""The split unlabelled: rows for a teacher to label, whose own label no step can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.data.parts import SplitColumns
from slimgate.data.splits import Cut, SplitSizes, cut_splits, read_splits, write_splits
from slimgate.errors import DataError, SuiteError
from slimgate.plugin.gates.reporting import report_builds
from slimgate.plugins.context import BuildContext
from slimgate.plugins.rows import SPLITS
from slimgate.record.build import BuildFacts
from slimgate.run.gate_results import GateResult

pytestmark = pytest.mark.slow

SEEN: list[tuple[tuple[str, ...], list[str]]] = []
MORE = "splits = { train = 16, calibration = 0, selection = 16, unlabelled = 20 }"
SIZES = 'splits = { train = "rest", calibration = 0, selection = 16 }'
VARIANT = "shorter = { steps = [{ keep_layers = [0, 2] }] }"


def looks(_model: Any, context: BuildContext) -> None:
    """A step of a user's own: notes which splits it got, and what columns the unlabelled rows have."""
    SEEN.append((tuple(context.splits), context.rows("unlabelled").table.column_names))


looks.reads = ("train", "unlabelled")  # type: ignore[attr-defined]


def louder(texts: list[str]) -> list[str]:
    return [f"{text} very" for text in texts]


def table(count: int) -> pa.Table:
    files = [f"f{k // 2}" for k in range(count)]
    labels = ["ab"[k % 2] for k in range(count)]
    return pa.table({"text": [f"text {k}" for k in range(count)], "label": labels, "file": files})


def cut_of(part: pa.Table, group: str | None = None, **sizes: Any) -> Cut:
    return cut_splits({"all": part}, SplitSizes(**sizes), SplitColumns(("text",), "label", group), seed=0)


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert tuple(cut_of(table(40)).splits) == SPLITS


def test_its_rows_have_no_label_and_the_report_counts_none() -> None:
    result = cut_of(table(40), train=10, gate=10, unlabelled=12)
    assert tuple(result.splits) == ("unlabelled", *SPLITS)
    assert result.splits["unlabelled"].column_names == ["id", "text", "file"]
    report = result.reports["unlabelled"]
    assert (report.n, report.label_counts, report.label_deviation_points) == (12, {}, None)
    assert result.splits["train"].column_names == ["id", "text", "label", "file"]


@pytest.mark.parametrize("group", [None, "file"])
def test_it_shares_no_row_and_no_group_with_any_other_split(group: str | None) -> None:
    result = cut_of(table(200), group, train=40, selection=10, gate=50, unlabelled="rest")
    for column in ("id", "file") if group else ("id",):
        values = [set(result.splits[name][column].to_pylist()) for name in result.splits]
        assert sum(map(len, values)) == len(set().union(*values))


def test_it_takes_no_row_from_the_splits_that_were_there_before() -> None:
    sizes: dict[str, Any] = {"train": 20, "calibration": 4, "selection": 10, "gate": 30}
    before, after = cut_of(table(100), **sizes), cut_of(table(100), **sizes, unlabelled=30)
    for name in SPLITS:
        assert before.splits[name] == after.splits[name]


def test_a_row_of_train_is_dropped_and_counted() -> None:
    doubled = pa.concat_tables([table(30), table(30)])
    result = cut_of(doubled, train=6, calibration=0, selection=0, gate=6, unlabelled="rest")
    texts = [set(result.splits[name]["text"].to_pylist()) for name in ("unlabelled", "train", "gate")]
    assert texts[0].isdisjoint(texts[1] | texts[2])
    assert result.reports["unlabelled"].dropped_overlap == 60 - 12 - result.reports["unlabelled"].n > 0


def test_two_splits_cannot_both_take_the_rest() -> None:
    with pytest.raises(DataError, match="unlabelled and train both take the rest of part all"):
        cut_of(table(40), gate=10, unlabelled="rest")


def named(more: pa.Table, group: str | None = None, **parts: pa.Table) -> Cut:
    return cut_splits(
        {**parts, "unlabelled": more},
        SplitSizes(train=20, calibration=4, selection=6, gate=10, unlabelled="rest"),
        SplitColumns(("text",), "label", group, ("label",)),
        seed=0,
    )


def test_it_is_drawn_from_the_sources_part_of_that_name() -> None:
    more = pa.table({"text": [f"text {k}" for k in range(60)]})
    result = named(more, all=table(40))
    texts = {name: set(split["text"].to_pylist()) for name, split in result.splits.items()}
    labelled = set().union(*(texts[name] for name in SPLITS))
    assert texts["unlabelled"] == set(more["text"].to_pylist()) - labelled
    report = result.reports["unlabelled"]
    assert (report.part, report.n, report.dropped_overlap, report.label_counts) == ("unlabelled", 20, 40, {})
    assert result.reports["gate"].label_counts == {"a": 5, "b": 5}
    without = cut_of(table(40), train=20, calibration=4, selection=6, gate=10)
    for name in SPLITS:
        assert result.splits[name] == without.splits[name]


def test_that_part_may_share_groups_with_train_only() -> None:
    more = pa.table({"text": [f"more {k}" for k in range(40)], "file": [f"f{k // 2}" for k in range(40)]})
    result = named(more, "file", all=table(40))
    files = {name: set(split["file"].to_pylist()) for name, split in result.splits.items()}
    held_out = files["calibration"] | files["selection"] | files["gate"]
    assert files["unlabelled"] == {f"f{k}" for k in range(20)} - held_out
    assert files["train"] <= files["unlabelled"]
    assert result.reports["unlabelled"].dropped_group == 2 * len(held_out)


def test_that_part_is_unused_unless_asked_for_and_never_alone() -> None:
    parts = {"all": table(40), "unlabelled": table(4)}
    columns = SplitColumns(("text",), "label")
    assert tuple(cut_splits(parts, SplitSizes(), columns, seed=0).splits) == SPLITS
    with pytest.raises(DataError, match=r"gave parts \['unlabelled'\], expected all, or some of train"):
        cut_splits({"unlabelled": table(4)}, SplitSizes(), columns, seed=0)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = cut_of(table(40), train=10, gate=10, unlabelled=12)
    write_splits(result, tmp_path)
    again = read_splits(tmp_path)
    assert again.reports == result.reports
    assert again.splits == result.splits


def test_only_steps_that_read_it_get_its_rows_without_labels(tmp_path: Path) -> None:
    replacement = 'shorter = { steps = [{ "tests.data.test_unlabelled_split:looks" = {} }] }'
    run = make_tiny_run(tmp_path, **{SIZES: MORE, VARIANT: replacement})
    SEEN.clear()
    run.build("shorter")
    assert SEEN == [(("train", "unlabelled"), ["id", "text", "file"])]
    assert run.rows.reports["unlabelled"].n == 20
    assert run.rows.facts.classes == ("neg", "pos")


def distilled(options: str) -> dict[str, str]:
    step = f'{{ distill = {{ precision = "float32", {options} }} }}'
    return {VARIANT: f"shorter = {{ steps = [{step}] }}"}


def test_a_student_learns_from_it_beside_train(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{SIZES: MORE}, **distilled("unlabelled = true"))
    log = run.build("shorter").steps[-1].manifest["log"]
    assert log["transfer"]["from_unlabelled"] == 20
    assert log["rows"] == 16 + log["transfer"]["rows"]


def test_the_record_counts_its_rows_among_those_of_the_step(tmp_path: Path) -> None:
    run = make_tiny_run(tmp_path, **{SIZES: MORE}, **distilled("unlabelled = true"))
    results: list[GateResult] = []
    report_builds(results.append, run.make_handle("shorter"))
    [result] = results
    assert isinstance(result.facts, BuildFacts)
    assert result.facts.steps[-1].reads == {"train": 16, "selection": 16, "unlabelled": 20}


def test_what_does_not_read_it_is_not_built_again_for_it(tmp_path: Path) -> None:
    plain, learning = distilled("epochs = 1"), distilled("unlabelled = true")
    other = MORE.replace("20", "24")
    for options, again in ((plain, True), (learning, False)):
        make_tiny_run(tmp_path, **{SIZES: MORE}, **options).build("shorter")
        assert make_tiny_run(tmp_path, **{SIZES: other}, **options).build("shorter").from_store is again


def test_a_step_that_reads_a_missing_split_ends_the_run(tmp_path: Path) -> None:
    problem = "reads the split unlabelled, which the suite does not have; set"
    message = rf"\[variants.shorter\] steps\[0\].distill: {problem}"
    with pytest.raises(SuiteError, match=message):
        make_tiny_run(tmp_path, **distilled("unlabelled = true"))


def test_a_translators_code_belongs_to_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    module = tmp_path / "own" / "own_translator.py"
    module.write_text("def again(texts):\n    return [text + ' very' for text in texts]\n")
    options = distilled('augment = { translator = "own_translator:again" }')
    log = make_tiny_run(tmp_path, **options).build("shorter").steps[-1].manifest["log"]
    assert log["transfer"]["translated"] == 48
    assert make_tiny_run(tmp_path, **options).build("shorter").from_store
    from slimgate._system import digests

    digests.forget()  # a new process has none of them
    module.write_text("def again(texts):\n    return [text + ' not' for text in texts]\n")
    assert not make_tiny_run(tmp_path, **options).build("shorter").from_store


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tests.data.test_unlabelled_split:lauder", "has no lauder. Did you mean louder?"),
        ("no_such_module_of_ours:back", "no module no_such_module_of_ours; expected it in the rootdir"),
        ("louder", 'your own is named "package.module:object"'),
        ("tests.data.test_unlabelled_split:SEEN", "is list, expected a function"),
    ],
)
def test_a_missing_translator_is_an_early_error(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        make_tiny_run(tmp_path, **distilled(f'augment = {{ translator = "{name}" }}'))
