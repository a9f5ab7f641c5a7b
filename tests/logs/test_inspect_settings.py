"""Settings of Inspect and OpenAI Evals that two logs must share: solvers, scorers, limits, graders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.compared_logs import check_same_settings, check_setting, judge_files, write_json
from support.tool_logs import make_openai_event, make_openai_head, write_lines

from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.find import read_log


def write_inspect_log(path: Path, model: str, params: Mapping[str, Any] | None = None, **spec: Any) -> Path:
    samples = [
        {
            "id": at,
            "epoch": 1,
            "input": f"{at}?",
            "target": "1",
            "scores": {"match": {"value": "C"}},
            "output": {"choices": [{"message": {"content": "1"}, "stop_reason": "stop"}]},
        }
        for at in range(3)
    ]
    stated = {"task": "sums", "model": model, "run_id": model, "created": "2026-01-01", "config": {}, **spec}
    plan = {"steps": [{"solver": "system_message", "params": params or {}}], "config": {}}
    log = {"version": 2, "status": "success", "eval": stated, "plan": plan, "samples": samples}
    return write_json(path, log)


LIMITS = ("message_limit", "token_limit", "time_limit", "working_limit", "cost_limit")


@pytest.mark.parametrize(
    ("before", "after", "name", "words"),
    [
        (
            {"params": {"template": "Be short."}},
            {"params": {"template": "Think."}},
            "filters",
            'filters {"1 system_message": {"template": "Be short."}} and {"1 system_message": {"template"',
        ),
        (
            {"task_args": {"fewshot": 0}},
            {"task_args": {"fewshot": 10}},
            "task_args",
            'task arguments {"fewshot": 0} and {"fewshot": 10}',
        ),
        (
            {"scorers": [{"name": "match", "options": {"model": "openai/judge"}}]},
            {"scorers": [{"name": "match", "options": {"model": "local/tiny"}}]},
            "scorers",
            'scorers {"match": {"model": "openai/judge"}} and {"match": {"model": "local/tiny"}}',
        ),
        (
            {"scorers": [{"name": "match"}], "model_roles": {"grader": {"model": "openai/judge"}}},
            {"scorers": [{"name": "match"}], "model_roles": {"grader": {"model": "local/tiny"}}},
            "scorers",
            'scorers {"(model roles)": {"grader": {"model": "openai/judge"}}}',
        ),
        *(
            (
                {"config": {limit: 30}},
                {"config": {limit: 300}},
                "generation",
                f'generation settings {{"{limit}": 30}} and {{"{limit}": 300}}',
            )
            for limit in LIMITS
        ),
        (
            {"config": {"message_limit": None}},
            {"config": {"message_limit": 300}},
            "generation",
            'generation settings {"message_limit": null} and {"message_limit": 300}',
        ),
        (
            {"model_args": {"gpu_memory_utilization": 0.9}},
            {"model_args": {"gpu_memory_utilization": 0.5, "max_model_len": 512}},
            "generation",
            'generation settings {"max_length": null} and {"max_length": "512"}',
        ),
    ],
    ids=["solver", "task arguments", "grader", "grader as a role", *LIMITS, "limit of one log", "model"],
)
def test_settings_of_inspect_are_compared(
    tmp_path: Path, before: Any, after: Any, name: str, words: str
) -> None:
    base = write_inspect_log(tmp_path / "base.json", "vllm/base", **before)
    target = write_inspect_log(tmp_path / "int4.json", "vllm/int4", **after)
    check_setting(base, target, name, words)


def test_names_of_the_model_itself_are_no_difference(tmp_path: Path) -> None:
    files = [
        write_inspect_log(
            tmp_path / f"{name}.json",
            f"hf/{name}",
            {"model": f"hf/{name}", "kwargs": extra},
            model_args={"model_path": f"./{name}"},
            task_args={"path": f"./{name}", "label": name, "shuffle": None},
            scorers=[{"name": "match", "options": {"base_url": f"http://{name}", "numeric": True}}],
        )
        for name, extra in (("base", None), ("int4", {}))
    ]
    base, target = files
    check_same_settings(base, target)


def test_a_scorer_of_one_log_alone_is_no_difference(tmp_path: Path) -> None:
    scorers = [{"name": "match", "options": {}}, {"name": "length", "options": {"most": 5}}]
    base = write_inspect_log(tmp_path / "base.json", "vllm/base", scorers=scorers)
    target = write_inspect_log(tmp_path / "int4.json", "vllm/int4", scorers=scorers[:1])
    check_same_settings(base, target)


def test_options_of_one_inspect_log_alone_are_a_note(tmp_path: Path) -> None:
    base = write_inspect_log(
        tmp_path / "base.json", "a/b", task_args={"seed": 1}, scorers=[{"name": "match"}]
    )
    target = write_inspect_log(
        tmp_path / "int4.json",
        "a/c",
        {"mode": "w" * 200, "tags": [], "inner": {"name": None}},
        task_args={"seed": 1, "shuffle": False},
        scorers=[{"name": "match", "options": {"numeric": True}}],
    )
    words = "that only one of the logs has, and that are not compared:"
    for logs in ((base, target), (target, base)):
        notes = [note for note in judge_files(*logs).notes if words in note]
        assert notes == [
            f"sums: filters {words} 1 system_message.mode",
            f"sums: task arguments {words} shuffle = false",
            f"sums: scorers {words} match.numeric = true",
        ]


@pytest.mark.parametrize(("versions", "refused"), [(("0.3.1", "0.3.1"), True), (("0.3.1", "0.3.2"), False)])
def test_options_of_one_log_differ_in_one_version(
    tmp_path: Path, versions: tuple[str, str], refused: bool
) -> None:
    base, target = (
        write_inspect_log(
            tmp_path / f"{model}.json", f"a/{model}", packages={"inspect_ai": version}, task_args=args
        )
        for model, version, args in (("b", versions[0], {}), ("c", versions[1], {"fewshot": 10}))
    )
    if refused:
        check_setting(base, target, "task_args", 'task arguments {"fewshot": null} and {"fewshot": 10}')
    else:
        assert any("fewshot = 10" in note for note in judge_files(base, target).notes)


def test_an_option_of_no_value_equals_a_missing_option(tmp_path: Path) -> None:
    base, target = (
        write_inspect_log(
            tmp_path / f"{model}.json", f"a/{model}", packages={"inspect_ai": "0.3.1"}, task_args=args
        )
        for model, args in (("b", {"shuffle": True}), ("c", {"shuffle": True, "fewshot": None}))
    )
    check_same_settings(base, target)


def test_a_solver_or_role_of_one_inspect_log_is_refused(tmp_path: Path) -> None:
    base = write_inspect_log(tmp_path / "base.json", "a/b", scorers=[])
    role = write_inspect_log(
        tmp_path / "role.json", "a/c", scorers=[], model_roles={"grader": {"model": "j"}}
    )
    check_setting(base, role, "scorers", 'scorers {"(names of model roles)": []} and')
    log = json.loads(base.read_text("utf-8"))
    log["plan"]["steps"].append({"solver": "critique", "params": {}})
    check_setting(base, write_json(tmp_path / "int4.json", log), "filters", "filters {")


GRADED = {"scorers": [{"name": "model_graded_qa", "options": {}}]}
GRADED_BY_JUDGE = {**GRADED, "model_roles": {"grader": {"model": "openai/judge"}}}


def test_a_model_that_grades_its_own_answers_is_refused(tmp_path: Path) -> None:
    """Inspect's scorers take the evaluated model if no grader is given."""
    base, target = (
        write_inspect_log(tmp_path / f"{name}.json", f"vllm/{name}", **GRADED) for name in ("a", "b")
    )
    check_setting(
        base,
        target,
        "scorers",
        'scorers {"model_graded_qa": {"model": "vllm/a"}} and {"model_graded_qa": {"model": "vllm/b"}}',
    )
    judged = [
        write_inspect_log(tmp_path / f"{name}.json", f"vllm/{name}", **GRADED_BY_JUDGE) for name in ("c", "d")
    ]
    check_same_settings(*judged)


@pytest.mark.parametrize(("graders", "refused"), [(([], []), True), ((["judge"], ["judge"]), False)])
def test_the_grader_of_openai_evals_is_its_last_model(
    tmp_path: Path, graders: tuple[list[str], list[str]], refused: bool
) -> None:
    logs = []
    for name, further in zip(("a", "b"), graders, strict=True):
        [head] = make_openai_head()
        head["spec"]["completion_fns"] = [name, *further]
        head["spec"]["run_config"]["eval_spec"]["cls"] = (
            "evals.elsuite.modelgraded.classify:ModelBasedClassify"
        )
        logs.append(
            write_lines(tmp_path / f"{name}.jsonl", [head, make_openai_event(0, "metrics", accuracy=1.0)])
        )
    if refused:
        check_setting(*logs, "scorers", 'scorers {"modelgraded": {"model": "a"}} and')
    else:
        check_same_settings(*logs, task="sums.s1.simple-v0")


def test_a_kept_base_keeps_how_options_are_compared(tmp_path: Path) -> None:
    log = read_log(write_inspect_log(tmp_path / "base.json", "a/b"))
    write_base_log(log, tmp_path / "base.parquet")
    task = read_base_log(tmp_path / "base.parquet", "base").tasks["sums"]
    assert task.shared_options == log.tasks["sums"].shared_options != ()
