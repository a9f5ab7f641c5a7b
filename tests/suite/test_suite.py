"""What a suite says when nothing is wrong with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.plugins.workloads import Workload
from slimgate.results.checks import TEACHER
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite


def suite_of(bench: Path, text: str, **options: bool) -> Suite:
    (bench / "x.toml").write_text(text)
    return load_suite(bench / "x.toml", "bench/x.toml", **options)


def test_variants_are_resolved_in_the_order_of_the_file(bench: Path, suite_text: str) -> None:
    suite = suite_of(bench, suite_text)
    assert list(suite.variants) == ["student", "int8"]
    assert suite.variants["student"].parent == TEACHER
    assert suite.variants["int8"].parent == "student"
    assert [step.name for step in suite.variants["int8"].steps] == ["int8_dynamic"]
    assert suite.variants["student"].steps[0].params.root == (0, 3)
    assert suite.model(TEACHER).ref is not None
    assert suite.model("int8") is suite.variants["int8"]


def test_a_suite_is_frozen(bench: Path, suite_text: str) -> None:
    suite = suite_of(bench, suite_text)
    with pytest.raises(dataclasses.FrozenInstanceError):
        suite.title = "x"  # type: ignore[misc]


def test_several_seeds_are_kept_and_the_first_is_the_seed(bench: Path, suite_text: str) -> None:
    suite = suite_of(bench, suite_text.replace("threads = 1\n", "threads = 1\nseeds = [3, 1, 2]\n"))
    assert suite.seeds == (3, 1, 2)
    assert suite.seed == 3


def test_what_is_not_written_has_defaults(bench: Path, suite_text: str) -> None:
    text = suite_text[: suite_text.index("[budgets]")].replace("threads = 1\n", "")
    suite = suite_of(bench, text)
    assert (suite.seed, suite.opt_in, suite.measure.on_inconclusive) == (0, False, "fail")
    assert suite.threads >= 1
    assert suite.metrics == ("accuracy", "f1_macro")
    assert suite.workloads == (Workload(1), Workload(32))
    assert suite.variants["student"].runtime.name == "eager"
    assert suite.variants["student"].gated


def test_a_suites_threads_go_before_the_environments(
    bench: Path, suite_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert suite_of(bench, suite_text.replace("threads = 1\n", "threads = 3\n")).threads == 3
    assert suite_of(bench, suite_text.replace("threads = 1\n", "")).threads == 1


def test_a_budgeted_metric_is_measured_too(bench: Path, suite_text: str) -> None:
    suite = suite_of(bench, suite_text.replace("[measure]", "mcc = { drop_points = 3.0 }\n[measure]"))
    assert suite.metrics == ("accuracy", "mcc")


def test_extends_merges_tables_deeply_and_replaces_lists(bench: Path, suite_text: str) -> None:
    (bench / "_common.toml").write_text(suite_text)
    suite = suite_of(
        bench,
        '[suite]\ntitle = "other"\nextends = "_common.toml"\n'
        "[task]\nsplits = { gate = 50 }\n[measure]\nmetrics = ['mcc']\n",
    )
    assert suite.title == "other"
    assert suite.threads == 1
    assert (suite.setup.sizes.gate, suite.setup.sizes.train) == (50, 60)
    assert suite.metrics == ("mcc", "accuracy")
    assert list(suite.variants) == ["student", "int8"]
    assert suite.shown == "bench/x.toml"  # records have this name, without the files that it extends


def test_a_suite_may_extend_several_files_and_later_ones_win(bench: Path, suite_text: str) -> None:
    (bench / "_common.toml").write_text(suite_text)
    (bench / "_more.toml").write_text(
        "[variants.half]\nsteps = [{ int8_dynamic = {} }]\n[measure]\nmetrics = ['mcc']\n"
    )
    several = '[suite]\ntitle = "both"\nextends = ["_common.toml", "_more.toml"]\n'
    suite = suite_of(bench, several)
    assert list(suite.variants) == ["student", "int8", "half"]
    assert suite.metrics == ("mcc", "accuracy")
    swapped = suite_of(bench, several.replace('"_common.toml", "_more.toml"', '"_more.toml", "_common.toml"'))
    assert list(swapped.variants) == ["half", "student", "int8"]
    assert swapped.metrics == ("accuracy",)


WIDER = "[budgets.variants.int8]\naccuracy = { drop_points = 40.0, on_inconclusive = 'warn' }\n"


@pytest.mark.parametrize(
    ("common", "message"),
    [
        ("accuracy = { drop_points = 2.0 }", r"accuracy\.drop_points: 2\.0 was given, .* has 40\.0 for int8"),
        ("accuracy = { on_inconclusive = 'fail' }", r"accuracy\.on_inconclusive: fail was given, .* warn"),
        ("accuracy = { drop_points = 40.0 }", None),
        ("accuracy = { floor = 0.5 }", None),
        ("f1_macro = { drop_points = 2.0 }", None),
        ("accuracy = { drop_points = 2.0 }\n[budgets.variants.int8.accuracy]\ndrop_points = 3.0", None),
    ],
    ids=["limit", "what an undecided one does", "equal", "other kind", "other metric", "written again"],
)
def test_a_common_budget_holds_for_all_or_says_for_whom_not(
    bench: Path, suite_text: str, common: str, message: str | None
) -> None:
    text = suite_text.replace("[measure]", f"{WIDER}[measure]")
    (bench / "_common.toml").write_text(text)
    single = f'[suite]\ntitle = "own"\nextends = "_common.toml"\n[budgets]\n{common}\n'
    (bench / "_own.toml").write_text(f"[budgets]\n{common}\n")
    several = '[suite]\ntitle = "own"\nextends = ["_common.toml", "_own.toml"]\n'
    for suite in (single, several):
        if message is None:
            suite_of(bench, suite)
            continue
        with pytest.raises(SuiteError, match=message):
            suite_of(bench, suite)


def test_paths_are_relative_to_the_file_that_states_them(bench: Path, suite_text: str) -> None:
    (bench / "_common.toml").write_text(suite_text)
    other = bench / "deep/er"
    other.mkdir(parents=True)
    (other / "y.toml").write_text('[suite]\ntitle = "deep"\nextends = "../../_common.toml"\n')
    suite = load_suite(other / "y.toml")
    assert suite.setup.source.params.path == (bench / "rows.csv",)
    assert suite.teacher.ref is not None
    assert suite.teacher.ref.folder == bench.parent / "model"


def test_the_digest_changes_with_the_suite_and_what_it_extends(bench: Path, suite_text: str) -> None:
    (bench / "_common.toml").write_text(suite_text)
    text = '[suite]\ntitle = "other"\nextends = "_common.toml"\n'
    before = suite_of(bench, text).digest
    assert suite_of(bench, text).digest == before
    assert suite_of(bench, text + "seed = 1\n").digest != before
    (bench / "_common.toml").write_text(suite_text + "# a comment\n")
    assert suite_of(bench, text).digest != before


def test_data_and_models_may_be_missing_if_they_are_not_checked(bench: Path, suite_text: str) -> None:
    text = suite_text.replace("rows.csv", "nowhere.csv").replace("../model", "../nowhere")
    assert suite_of(bench, text, check_data=False).teacher.ref is not None


@pytest.mark.parametrize("start", ["\ufeff", "\r\n# Windows\r\n"], ids=["byte-order-mark", "crlf"])
def test_a_suite_written_on_windows_is_read(bench: Path, suite_text: str, start: str) -> None:
    (bench / "x.toml").write_bytes((start + suite_text).encode())
    assert load_suite(bench / "x.toml").title == "tiny"


def test_a_ready_made_variant_has_no_parent(bench: Path, suite_text: str) -> None:
    config = '{"architectures": ["BertForSequenceClassification"], "num_hidden_layers": 4}'
    (bench.parent / "model/config.json").write_text(config)
    suite = suite_of(bench, suite_text.replace("[variants]", '[variants]\nreleased = { model = "../model" }'))
    released = suite.variants["released"]
    assert released.parent is None
    assert released.ref is not None
    assert (released.ref.new_head, suite.teacher.ref and suite.teacher.ref.new_head) == (False, None)
    assert released.steps == ()


def test_a_model_of_the_hub_is_not_looked_up_while_suites_load(bench: Path, suite_text: str) -> None:
    ref = suite_of(bench, suite_text.replace("../model", "org/name@v1")).teacher.ref
    assert ref is not None
    assert (ref.folder, ref.hub_id, ref.revision) == (None, "org/name", "v1")


def test_a_file_judges_models_or_logs(bench: Path, suite_text: str) -> None:
    (bench / "x.toml").write_text(f'{suite_text}\n[logs]\nbase = "base.jsonl"\n')
    with pytest.raises(SuiteError) as error:
        load_suite(bench / "x.toml", "bench/x.toml")
    assert str(error.value) == (
        "bench/x.toml: has [suite] and [logs], but a file judges either models or logs: for logs, write "
        "title into [logs] and leave [suite] out; for models, put [logs] into a separate file"
    )
