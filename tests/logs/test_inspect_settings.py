"""Settings of solvers, scorers and prompts that two logs of a tool must share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.lm_eval_logs import write_lm_eval
from support.tool_logs import make_openai_event, make_openai_head, write_lines

from slimgate.errors import DataError
from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.comparison_lines import UNSTATED_SETTINGS
from slimgate.logs.find import read_log
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import LogVerdicts, judge_logs


def judge(base: Path, target: Path, *allow: str) -> LogVerdicts:
    return judge_logs(read_log(base), read_log(target), LogBudgets(), Rules(frozenset(allow)))


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    return path


def check_named(base: Path, target: Path, name: str, words: str) -> None:
    """The difference is refused, accepted by its name, and none between a log and its copy."""
    with pytest.raises(DataError) as refusal:
        judge(base, target)
    assert words in str(refusal.value)
    assert f"accept it by --allow {name}" in str(refusal.value)
    assert any(words in note for note in judge(base, target, name).notes)


# ---- Inspect


def inspect_log(path: Path, model: str, params: Mapping[str, Any] | None = None, **spec: Any) -> Path:
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
    return write(path, log)


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
    base = inspect_log(tmp_path / "base.json", "vllm/base", **before)
    target = inspect_log(tmp_path / "int4.json", "vllm/int4", **after)
    check_named(base, target, name, words)


def test_names_of_the_model_itself_are_no_difference(tmp_path: Path) -> None:
    files = [
        inspect_log(
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
    assert judge(base, target).comparisons


def test_a_scorer_of_one_log_alone_is_no_difference(tmp_path: Path) -> None:
    scorers = [{"name": "match", "options": {}}, {"name": "length", "options": {"most": 5}}]
    base = inspect_log(tmp_path / "base.json", "vllm/base", scorers=scorers)
    target = inspect_log(tmp_path / "int4.json", "vllm/int4", scorers=scorers[:1])
    assert judge(base, target).comparisons


def test_options_of_one_inspect_log_alone_are_a_note(tmp_path: Path) -> None:
    base = inspect_log(tmp_path / "base.json", "a/b", task_args={"seed": 1}, scorers=[{"name": "match"}])
    target = inspect_log(
        tmp_path / "int4.json",
        "a/c",
        {"mode": "w" * 200, "tags": [], "inner": {"name": None}},
        task_args={"seed": 1, "shuffle": False},
        scorers=[{"name": "match", "options": {"numeric": True}}],
    )
    words = "that only one of the logs has, and that are not compared:"
    for logs in ((base, target), (target, base)):
        notes = [note for note in judge(*logs).notes if words in note]
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
        inspect_log(
            tmp_path / f"{model}.json", f"a/{model}", packages={"inspect_ai": version}, task_args=args
        )
        for model, version, args in (("b", versions[0], {}), ("c", versions[1], {"fewshot": 10}))
    )
    if refused:
        check_named(base, target, "task_args", 'task arguments {"fewshot": null} and {"fewshot": 10}')
    else:
        assert any("fewshot = 10" in note for note in judge(base, target).notes)


def test_an_option_of_no_value_equals_a_missing_option(tmp_path: Path) -> None:
    base, target = (
        inspect_log(
            tmp_path / f"{model}.json", f"a/{model}", packages={"inspect_ai": "0.3.1"}, task_args=args
        )
        for model, args in (("b", {"shuffle": True}), ("c", {"shuffle": True, "fewshot": None}))
    )
    assert judge(base, target).comparisons


def test_a_solver_or_role_of_one_inspect_log_is_refused(tmp_path: Path) -> None:
    base = inspect_log(tmp_path / "base.json", "a/b", scorers=[])
    role = inspect_log(tmp_path / "role.json", "a/c", scorers=[], model_roles={"grader": {"model": "j"}})
    check_named(base, role, "scorers", 'scorers {"(names of model roles)": []} and')
    log = json.loads(base.read_text("utf-8"))
    log["plan"]["steps"].append({"solver": "critique", "params": {}})
    check_named(base, write(tmp_path / "int4.json", log), "filters", "filters {")


GRADED = {"scorers": [{"name": "model_graded_qa", "options": {}}]}
GRADED_BY_JUDGE = {**GRADED, "model_roles": {"grader": {"model": "openai/judge"}}}


def test_a_model_that_grades_its_own_answers_is_refused(tmp_path: Path) -> None:
    """Inspect's scorers take the evaluated model if no grader is given."""
    base, target = (inspect_log(tmp_path / f"{name}.json", f"vllm/{name}", **GRADED) for name in ("a", "b"))
    check_named(
        base,
        target,
        "scorers",
        'scorers {"model_graded_qa": {"model": "vllm/a"}} and {"model_graded_qa": {"model": "vllm/b"}}',
    )
    judged = [
        inspect_log(tmp_path / f"{name}.json", f"vllm/{name}", **GRADED_BY_JUDGE) for name in ("c", "d")
    ]
    assert judge(*judged).comparisons


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
            write_lines(tmp_path / f"{name}.jsonl", [head, make_openai_event(0, "metrics", score=1.0)])
        )
    if refused:
        check_named(*logs, "scorers", 'scorers {"modelgraded": {"model": "a"}} and')
    else:
        assert judge(*logs).comparisons


def test_a_kept_base_with_names_of_solvers_is_compared(tmp_path: Path) -> None:
    log = read_log(inspect_log(tmp_path / "base.json", "a/b", {"template": "Be short."}))
    settings = {**log.tasks["sums"].settings, "filters": ["system_message"]}  # as older versions wrote it
    old = replace(log, tasks={"sums": replace(log.tasks["sums"], settings=settings, shared_options=())})
    write_base_log(old, tmp_path / "base.parquet")
    base = read_base_log(tmp_path / "base.parquet", "base")
    target = read_log(inspect_log(tmp_path / "int4.json", "a/c", {"template": "Be short."}))
    for logs in ((base, target), (target, replace(base, is_kept_base=False))):
        assert judge_logs(*logs, LogBudgets(), Rules()).comparisons
    steps = {"filters": {"1 generate": {}}}
    other = replace(target, tasks={"sums": replace(target.tasks["sums"], settings=steps)})
    with pytest.raises(DataError, match=r'filters \["system_message"\] and \["generate"\]'):
        judge_logs(base, other, LogBudgets(), Rules())


def test_a_kept_base_keeps_how_options_are_compared(tmp_path: Path) -> None:
    log = read_log(inspect_log(tmp_path / "base.json", "a/b"))
    write_base_log(log, tmp_path / "base.parquet")
    task = read_base_log(tmp_path / "base.parquet", "base").tasks["sums"]
    assert task.shared_options == log.tasks["sums"].shared_options != ()


# ---- lm-eval


def test_a_difference_in_a_long_setting_is_shown(tmp_path: Path) -> None:
    """Both settings begin with the same 200 characters."""
    files = [
        write_lm_eval(
            tmp_path / name,
            {"sums": [1.0]},
            results={"config": {"gen_kwargs": {"a": "x" * 200, "temperature": temperature}}},
        )
        for name, temperature in (("base", 0.0), ("int4", 1.0))
    ]
    words = '{"gen_kwargs": {"temperature": 0.0}} and {"gen_kwargs": {"temperature": 1.0}}'
    check_named(*files, "generation", words)


def test_logs_of_two_versions_of_a_tool_are_said(tmp_path: Path) -> None:
    files = [
        write_lm_eval(
            tmp_path / name, {"sums": [1.0, 0.0]}, results={"lm_eval_version": version, "git_hash": name}
        )
        for name, version in (("base", "0.4.3"), ("int4", "0.4.12"))
    ]
    words = (
        "lm-eval 0.4.3 wrote the base's log and 0.4.12 the target's; another version may score the same "
        "answer otherwise"
    )
    assert words in judge(*files).notes
    int8 = write_lm_eval(tmp_path / "int8", {"sums": [1.0, 1.0]}, results={"lm_eval_version": "0.4.3"})
    assert not any("another version" in note for note in judge(files[0], int8).notes)


def lm_eval_log(folder: Path, arguments: object = None, **metric: Any) -> Path:
    config = {"model": "vllm", "model_args": arguments, "gen_kwargs": None, "fewshot_seed": 1234}
    listed = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True, **metric}]
    results = {"config": config, "configs": {"sums": {"generation_kwargs": None, "metric_list": listed}}}
    return write_lm_eval(folder, {"sums": [1.0, 0.0, 1.0]}, results=results)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"max_gen_toks": 16}, {"max_gen_toks": 4096}, '{"max_gen_toks": "16"} and {"max_gen_toks": "4096"}'),
        ({}, {"max_gen_toks": 4096}, '{"max_gen_toks": null} and {"max_gen_toks": "4096"}'),
        (
            {"max_model_len": 512},
            "pretrained=x,max_length=8192",
            '{"max_length": "512"} and {"max_length": "8192"}',
        ),
        (
            {"think_end_token": "</think>"},
            {"think_end_token": None},
            '{"think_end_token": "</think>"} and {"think_end_token": null}',
        ),
        (
            "pretrained=x,enable_thinking=False",
            {"enable_thinking": True},
            '{"enable_thinking": "False"} and {"enable_thinking": "True"}',
        ),
    ],
    ids=["answers", "answers of one log", "context", "end of thinking", "thinking"],
)
def test_arguments_of_lm_eval_models_are_compared(
    tmp_path: Path, before: object, after: object, words: str
) -> None:
    base, target = lm_eval_log(tmp_path / "base", before), lm_eval_log(tmp_path / "int4", after)
    check_named(base, target, "generation", f"generation settings {words}")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pretrained=base,max_gen_toks=16", {"pretrained": "int4", "max_gen_toks": 16, "dtype": "auto"}),
        ({"max_model_len": 512}, {"max_length": 512, "tensor_parallel_size": 2}),
        ({"max_length": 512}, {"max_length": 512, "max_model_len": None}),
    ],
    ids=["text", "another name", "a name without a value"],
)
def test_equal_arguments_of_lm_eval_models_are_equal(tmp_path: Path, before: object, after: object) -> None:
    base, target = lm_eval_log(tmp_path / "base", before), lm_eval_log(tmp_path / "int4", after)
    assert judge(base, target).comparisons


def samples_alone(folder: Path, config: Mapping[str, Any] | None = None, **settings: Any) -> Path:
    """Samples with these generation settings; without `config`, they have no results file."""
    kwargs = {"until": ["\n"], "do_sample": False, **settings}
    rows = {"arguments": {"gen_args_0": {"arg_0": "1+1=", "arg_1": kwargs}}}
    results = {"configs": {"sums": {"generation_kwargs": kwargs, **(config or {})}}}
    write_lm_eval(folder, {"sums": [1.0, 0.0, 1.0]}, rows=rows, results=results)
    if config is None:
        for file in folder.glob("results_*.json"):
            file.unlink()
    return folder


def test_generation_settings_in_samples_are_compared(tmp_path: Path) -> None:
    base = samples_alone(tmp_path / "base")
    target = samples_alone(tmp_path / "int4", do_sample=True, temperature=0.8)
    check_named(base, target, "generation", '"do_sample": false')
    alike = judge(base, samples_alone(tmp_path / "w8"))
    assert alike.comparisons
    assert any(UNSTATED_SETTINGS in note for note in alike.notes)  # as of the model's arguments


def test_settings_of_a_request_are_not_those_of_a_configuration(tmp_path: Path) -> None:
    """A task such as fda builds its requests by itself, and its configuration has other settings."""
    base = samples_alone(tmp_path / "base")
    target = samples_alone(tmp_path / "int4", {"generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 256}})
    verdicts = judge(base, target)
    assert verdicts.comparisons
    assert any(UNSTATED_SETTINGS in note for note in verdicts.notes)


def test_samples_without_results_state_only_some_settings(tmp_path: Path) -> None:
    base = samples_alone(tmp_path / "base")
    target = samples_alone(tmp_path / "int4", {"repeats": 1})  # the samples do not state repeats
    write_base_log(read_log(base), tmp_path / "base.parquet")
    stored = read_base_log(tmp_path / "base.parquet", "base.parquet")
    assert judge_logs(stored, read_log(target), LogBudgets(), Rules()).comparisons
    unstated = samples_alone(tmp_path / "w8", {"generation_kwargs": None})
    assert judge(base, unstated).comparisons


def test_options_of_lm_eval_metrics_are_compared(tmp_path: Path) -> None:
    base = lm_eval_log(tmp_path / "base", ignore_case=False, regexes_to_ignore=[])
    target = lm_eval_log(tmp_path / "int4", ignore_case=True, regexes_to_ignore=[","])
    words = 'scorers {"acc": {}} and {"acc": {"ignore_case": true, "regexes_to_ignore": [","]}}'
    check_named(base, target, "scorers", words)
    assert judge(base, lm_eval_log(tmp_path / "w8")).comparisons


def test_each_task_without_stated_settings_is_named(tmp_path: Path) -> None:
    base, target = (
        write_lm_eval(
            tmp_path / name,
            {task: [1.0, 0.0, 1.0] for task in ("sums", "mine", "yours")},
            results={"n-shot": {"sums": 0}, "configs": {"sums": {"generation_kwargs": None}}},
            rows={"arguments": {"gen_args_0": {"arg_0": "1+1=", "arg_1": " 2"}}},  # a choice has no settings
        )
        for name in ("base", "int4")
    )
    notes = [note for note in judge(base, target).notes if UNSTATED_SETTINGS in note]
    assert notes == [f"mine, yours: {UNSTATED_SETTINGS}"]


# ---- deepeval


def deepeval_log(path: Path, **metric: Any) -> Path:
    cases = [
        {"name": f"case {at}", "input": "?", "metricsData": [{"name": "Match", "score": 0.5, **metric}]}
        for at in range(3)
    ]
    return write(path, {"testCases": cases})


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [("threshold", 0.7, 0.3), ("evaluationModel", "gpt-4o", "tiny"), ("strictMode", True, False)],
)
def test_a_threshold_and_judge_of_deepeval_are_compared(
    tmp_path: Path, key: str, before: Any, after: Any
) -> None:
    base = deepeval_log(tmp_path / "base.json", success=True, **{key: before})
    target = deepeval_log(tmp_path / "int4.json", success=True, **{key: after})
    check_named(base, target, "scorers", f'scorers {{"Match": [{{"{key}": {json.dumps(before)}}}]}}')


# ---- HELM


def helm_log(folder: Path, adapter: Mapping[str, Any], **spec: Any) -> Path:
    run = folder / f"boolq:model={folder.name}"
    stat = {"name": {"name": "exact_match", "split": "test"}, "mean": 1.0}
    write(run / "per_instance_stats.json", [{"instance_id": f"i{at}", "stats": [stat]} for at in range(3)])
    model = {"model": folder.name, "model_deployment": f"host/{folder.name}"}
    write(run / "run_spec.json", {"adapter_spec": {**model, **adapter}, **spec})
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
    base, target = helm_log(tmp_path / "base", {key: before}), helm_log(tmp_path / "int4", {key: after})
    check_named(base, target, name, words)


def test_the_graders_of_helm_are_compared(tmp_path: Path) -> None:
    base, target = (
        helm_log(
            tmp_path / name,
            {"input_prefix": "Q: "},
            annotators=[{"class_name": "helm.Judge", "args": {"models": judges}}],
        )
        for name, judges in (("base", 2), ("int4", 1))
    )
    check_named(base, target, "scorers", 'scorers {"Judge": {"models": 2}} and {"Judge": {"models": 1}}')


def test_more_options_of_a_newer_helm_are_a_note(tmp_path: Path) -> None:
    newer = {"chain_of_thought_suffix": "\n", "sample_train": True, "image_parameters": None}
    scenario = {"class_name": "BoolQ", "args": {}}
    base = helm_log(tmp_path / "base", {"method": "generation"}, scenario_spec=scenario)
    more = {**scenario, "args": {"only": "x"}}
    target = helm_log(tmp_path / "int4", {"method": "generation", **newer}, scenario_spec=more)
    words = "that only one of the logs has, and that are not compared:"
    assert [note for note in judge(base, target).notes if words in note] == [
        f"boolq: shots {words} sample_train = true",
        f'boolq: task arguments {words} chain_of_thought_suffix = "\\n", scenario.args.only = "x"',
    ]


# ---- promptfoo


def promptfoo_log(path: Path, grader: str, temperature: float) -> Path:
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
    return write(path, {"evalId": "e", "results": {"version": 3, "results": [row]}, "config": config})


def test_the_grader_of_promptfoo_is_compared(tmp_path: Path) -> None:
    base, target = (promptfoo_log(tmp_path / f"{name}.json", name, 0.0) for name in ("base", "int4"))
    check_named(base, target, "scorers", 'scorers {"defaultTest": {"provider": "base"}} and')


def test_the_temperature_of_promptfoo_is_compared(tmp_path: Path) -> None:
    base = promptfoo_log(tmp_path / "base.json", "judge", 0.0)
    target = promptfoo_log(tmp_path / "int4.json", "judge", 1.0)
    check_named(base, target, "generation", 'generation settings {"temperature": 0.0} and')


@pytest.mark.parametrize("form", ["by id", "prompt", "test"])
def test_other_places_of_options_of_promptfoo_are_compared(tmp_path: Path, form: str) -> None:
    files = [promptfoo_log(tmp_path / f"{name}.json", "judge", 0.0) for name in ("base", "int4")]
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
        write(file, log)
    check_named(*files, "generation", "generation settings {")


def test_a_config_of_promptfoo_in_another_file_is_not_read(tmp_path: Path) -> None:
    base, target = (promptfoo_log(tmp_path / f"{name}.json", "judge", 0.0) for name in ("base", "int4"))
    log = json.loads(base.read_text("utf-8"))
    log["config"]["providers"][0]["config"] = "file://options.yaml"
    assert UNSTATED_SETTINGS not in judge(base, target).notes
    assert "generation" not in read_log(write(base, log)).tasks[""].settings
    assert UNSTATED_SETTINGS in judge(base, target).notes
    log["results"]["results"][0]["prompt"] = {"raw": "1?", "config": "file://prompt.yaml"}
    assert "generation" not in read_log(write(base, log)).tasks[""].settings


def test_the_graders_of_single_tests_of_promptfoo_are_compared(tmp_path: Path) -> None:
    base, target = (promptfoo_log(tmp_path / f"{name}.json", "judge", 0.0) for name in ("base", "int4"))
    log = json.loads(target.read_text("utf-8"))
    log["results"]["results"][0]["testCase"] = {"options": {"provider": "other"}}
    check_named(base, write(target, log), "scorers", '{"tests": {"provider": ["other"], "rubricPrompt": []}}')
