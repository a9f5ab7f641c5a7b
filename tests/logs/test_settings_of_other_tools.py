"""Settings of deepeval, HELM and promptfoo that two logs must share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.compared_logs import check_setting, judge_files, write_json

from slimgate.logs.comparison_lines import UNSTATED_SETTINGS
from slimgate.logs.find import read_log


def write_deepeval_log(path: Path, **metric: Any) -> Path:
    cases = [
        {"name": f"case {at}", "input": "?", "metricsData": [{"name": "Match", "score": 0.5, **metric}]}
        for at in range(3)
    ]
    return write_json(path, {"testCases": cases})


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [("threshold", 0.7, 0.3), ("evaluationModel", "gpt-4o", "tiny"), ("strictMode", True, False)],
)
def test_a_threshold_and_judge_of_deepeval_are_compared(
    tmp_path: Path, key: str, before: Any, after: Any
) -> None:
    base = write_deepeval_log(tmp_path / "base.json", success=True, **{key: before})
    target = write_deepeval_log(tmp_path / "int4.json", success=True, **{key: after})
    check_setting(base, target, "scorers", f'scorers {{"Match": [{{"{key}": {json.dumps(before)}}}]}}')


def test_thresholds_that_cases_of_deepeval_swapped_are_compared(tmp_path: Path) -> None:
    files = [write_deepeval_log(tmp_path / f"{name}.json", success=True) for name in ("base", "int4")]
    for file, thresholds in zip(files, ((0.9, 0.9, 0.1), (0.9, 0.1, 0.9)), strict=True):
        log = json.loads(file.read_text("utf-8"))
        for case, threshold in zip(log["testCases"], thresholds, strict=True):
            case["metricsData"][0]["threshold"] = threshold
        write_json(file, log)
    check_setting(*files, "scorers", 'scorers {"Match": {"case 0": [{"threshold": 0.9}], "case 1": [{"thr')


def write_helm_log(folder: Path, adapter: Mapping[str, Any], **spec: Any) -> Path:
    run = folder / f"boolq:model={folder.name}"
    stat = {"name": {"name": "exact_match", "split": "test"}, "mean": 1.0}
    write_json(
        run / "per_instance_stats.json", [{"instance_id": f"i{at}", "stats": [stat]} for at in range(3)]
    )
    model = {"model": folder.name, "model_deployment": f"host/{folder.name}"}
    write_json(run / "run_spec.json", {"adapter_spec": {**model, **adapter}, **spec})
    return folder


@pytest.mark.parametrize(
    ("key", "before", "after", "name", "words"),
    [
        ("max_train_instances", 0, 10, "shots", 'shots {"max_train_instances": 0} and'),
        ("temperature", 0.0, 1.0, "generation", 'generation settings {"temperature": 0.0} and'),
        ("instructions", "", "Think.", "task_args", 'task arguments {"instructions": ""} and'),
        ("max_eval_instances", 10, 20, "limit", 'limit {"limit": "10"} and'),
    ],
)
def test_the_run_spec_of_helm_is_compared(
    tmp_path: Path, key: str, before: Any, after: Any, name: str, words: str
) -> None:
    base, target = (
        write_helm_log(tmp_path / "base", {key: before}),
        write_helm_log(tmp_path / "int4", {key: after}),
    )
    check_setting(base, target, name, words)


def test_the_graders_of_helm_are_compared(tmp_path: Path) -> None:
    base, target = (
        write_helm_log(
            tmp_path / name,
            {"input_prefix": "Q: "},
            annotators=[{"class_name": "helm.Judge", "args": {"models": judges}}],
        )
        for name, judges in (("base", 2), ("int4", 1))
    )
    check_setting(base, target, "scorers", 'scorers {"Judge": {"models": 2}} and {"Judge": {"models": 1}}')


def test_more_options_of_a_newer_helm_are_a_note(tmp_path: Path) -> None:
    newer = {"chain_of_thought_suffix": "\n", "sample_train": True, "image_parameters": None}
    scenario = {"class_name": "BoolQ", "args": {}}
    base = write_helm_log(tmp_path / "base", {"method": "generation"}, scenario_spec=scenario)
    more = {**scenario, "args": {"only": "x"}}
    target = write_helm_log(tmp_path / "int4", {"method": "generation", **newer}, scenario_spec=more)
    words = "that only one of the logs has, and that are not compared:"
    assert [note for note in judge_files(base, target).notes if words in note] == [
        f"boolq: shots {words} sample_train = true",
        f'boolq: task arguments {words} chain_of_thought_suffix = "\\n", scenario.args.only = "x"',
    ]


def write_promptfoo_log(path: Path, grader: str, temperature: float) -> Path:
    row = {
        "success": True,
        "score": 1,
        "testIdx": 0,
        "promptIdx": 0,
        "vars": {},
        "provider": {"id": path.stem},
    }
    config = {
        "defaultTest": {"options": {"provider": grader}},
        "providers": [{"id": path.stem, "config": {"temperature": temperature, "apiHost": path.stem}}],
    }
    return write_json(path, {"evalId": "e", "results": {"version": 3, "results": [row]}, "config": config})


def test_the_grader_of_promptfoo_is_compared(tmp_path: Path) -> None:
    base, target = (write_promptfoo_log(tmp_path / f"{name}.json", name, 0.0) for name in ("base", "int4"))
    check_setting(base, target, "scorers", 'scorers {"defaultTest": {"provider": "base"}} and')


def test_the_temperature_of_promptfoo_is_compared(tmp_path: Path) -> None:
    base = write_promptfoo_log(tmp_path / "base.json", "judge", 0.0)
    target = write_promptfoo_log(tmp_path / "int4.json", "judge", 1.0)
    check_setting(base, target, "generation", 'generation settings {"temperature": 0.0} and')


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("testCase", {"threshold": 0.3}),
        ("testCase", {"assertScoringFunction": "file://score.js"}),
        ("testCase", {"options": {"transform": "output.trim()"}}),
        ("defaultTest", {"threshold": 0.3}),
        ("derivedMetrics", [{"name": "f1", "value": "a + b"}]),
        ("providers", [{"id": "int4", "config": {"temperature": 0.0}, "transform": "output.trim()"}]),
    ],
    ids=["threshold", "score", "transform", "default threshold", "derived", "provider"],
)
def test_what_changes_a_score_of_promptfoo_is_compared(tmp_path: Path, place: str, options: Any) -> None:
    base, target = (write_promptfoo_log(tmp_path / f"{name}.json", "judge", 0.0) for name in ("base", "int4"))
    log = json.loads(target.read_text("utf-8"))
    if place == "testCase":
        log["results"]["results"][0][place] = options
    elif place == "defaultTest":
        log["config"][place] |= options
    else:
        log["config"][place] = options
    check_setting(base, write_json(target, log), "scorers", "scorers {")


@pytest.mark.parametrize("form", ["by id", "prompt", "test"])
def test_other_places_of_options_of_promptfoo_are_compared(tmp_path: Path, form: str) -> None:
    files = [write_promptfoo_log(tmp_path / f"{name}.json", "judge", 0.0) for name in ("base", "int4")]
    for file, temperature in zip(files, (0.0, 1.0), strict=True):
        log, options = json.loads(file.read_text("utf-8")), {"temperature": temperature}
        [row] = log["results"]["results"]
        log["config"]["providers"] = [file.stem]
        if form == "by id":
            log["config"]["providers"] = [{file.stem: {"config": options}}]
        elif form == "prompt":
            row["prompt"] = {"raw": "1?", "config": options}
        elif temperature:
            row["testCase"] = {"options": options}
        write_json(file, log)
    check_setting(*files, "generation", "generation settings {")


def test_a_config_of_promptfoo_in_another_file_is_not_read(tmp_path: Path) -> None:
    base, target = (write_promptfoo_log(tmp_path / f"{name}.json", "judge", 0.0) for name in ("base", "int4"))
    log = json.loads(base.read_text("utf-8"))
    log["config"]["providers"][0]["config"] = "file://options.yaml"
    assert UNSTATED_SETTINGS not in judge_files(base, target).notes
    assert "generation" not in read_log(write_json(base, log)).tasks[""].settings
    assert UNSTATED_SETTINGS in judge_files(base, target).notes
    log["results"]["results"][0]["prompt"] = {"raw": "1?", "config": "file://prompt.yaml"}
    assert "generation" not in read_log(write_json(base, log)).tasks[""].settings


def test_the_graders_of_single_tests_of_promptfoo_are_compared(tmp_path: Path) -> None:
    base, target = (write_promptfoo_log(tmp_path / f"{name}.json", "judge", 0.0) for name in ("base", "int4"))
    log = json.loads(target.read_text("utf-8"))
    log["results"]["results"][0]["testCase"] = {"options": {"provider": "other"}}
    check_setting(base, write_json(target, log), "scorers", '{"tests": {"provider": ["other"]}}')


@pytest.mark.parametrize(
    ("values", "name", "words"),
    [
        ([{"threshold": 0.9}, {"threshold": 0.1}], "scorers", '{"threshold": {"0": ["0.9"], "1": ["0.1"]}}'),
        ([{"options": {"provider": "a"}}, {}], "scorers", '{"provider": {"0": ["a"]}}'),
        (
            [{"options": {"temperature": 1.0}}, {"options": {"temperature": 0.0}}],
            "generation",
            '{"0": ["{\\"temperature\\": 1.0}"],',
        ),
    ],
    ids=["threshold", "grader", "temperature"],
)
def test_options_that_tests_of_promptfoo_swapped_are_compared(
    tmp_path: Path, values: list[dict[str, Any]], name: str, words: str
) -> None:
    files = [write_promptfoo_log(tmp_path / f"{name}.json", "judge", 0.0) for name in ("base", "int4")]
    for file, tests in zip(files, (values, values[::-1]), strict=True):
        log = json.loads(file.read_text("utf-8"))
        [row] = log["results"]["results"]
        log["results"]["results"] = [
            {**row, "testIdx": number, "testCase": test} for number, test in enumerate(tests)
        ]
        write_json(file, log)
    check_setting(*files, name, words)
