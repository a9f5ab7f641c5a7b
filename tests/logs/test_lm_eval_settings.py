"""Settings of lm-eval that two logs must share: arguments of models, generation, metrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.compared_logs import check_same_settings, check_setting, judge_files
from support.lm_eval_logs import write_lm_eval

from slimgate.errors import DataError
from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.comparison_lines import UNSTATED_SETTINGS
from slimgate.logs.find import read_log
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import judge_logs


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
    check_setting(*files, "generation", words)


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
    assert words in judge_files(*files).notes
    int8 = write_lm_eval(tmp_path / "int8", {"sums": [1.0, 1.0]}, results={"lm_eval_version": "0.4.3"})
    assert not any("another version" in note for note in judge_files(files[0], int8).notes)


def test_a_refusal_names_the_versions_that_differ(tmp_path: Path) -> None:
    """After an upgrade of the tool, its version is the usual cause of all other differences."""
    files = [
        write_lm_eval(
            tmp_path / name, {"sums": [1.0]}, results={"lm_eval_version": version, "versions": {"sums": task}}
        )
        for name, version, task in (("base", "0.4.9", 1.0), ("int4", "0.4.13", 2.0))
    ]
    cause = "(lm-eval 0.4.9 wrote the base's log and 0.4.13 the target's; run both with one version)"
    with pytest.raises(DataError, match=re.escape(f"{cause}: sums: task version 1.0 and 2.0; accept it")):
        judge_files(*files)


def test_no_options_are_the_same_as_empty_options(tmp_path: Path) -> None:
    """lm-eval wrote null, and later versions write {}; an option of value 0 is none of them."""
    files = {
        name: write_lm_eval(
            tmp_path / name,
            {"sums": [1.0]},
            results={"config": {"gen_kwargs": options}, "configs": {"sums": {"generation_kwargs": None}}},
        )
        for name, options in (("base", None), ("empty", {}), ("zero", {"temperature": 0}))
    }
    check_same_settings(files["base"], files["empty"])
    words = '{"gen_kwargs": null} and {"gen_kwargs": {"temperature": 0}}'
    check_setting(files["base"], files["zero"], "generation", words)


def write_lm_eval_log(folder: Path, arguments: object = None, **metric: Any) -> Path:
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
    base, target = write_lm_eval_log(tmp_path / "base", before), write_lm_eval_log(tmp_path / "int4", after)
    check_setting(base, target, "generation", f"generation settings {words}")


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
    base, target = write_lm_eval_log(tmp_path / "base", before), write_lm_eval_log(tmp_path / "int4", after)
    check_same_settings(base, target)


def write_samples_alone(folder: Path, config: Mapping[str, Any] | None = None, **settings: Any) -> Path:
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
    base = write_samples_alone(tmp_path / "base")
    target = write_samples_alone(tmp_path / "int4", do_sample=True, temperature=0.8)
    check_setting(base, target, "generation", '"do_sample": false')
    alike = check_same_settings(base, write_samples_alone(tmp_path / "w8"))
    assert any(UNSTATED_SETTINGS in note for note in alike.notes)  # as of the model's arguments


def test_settings_of_a_request_are_not_those_of_a_configuration(tmp_path: Path) -> None:
    """A task such as fda builds its requests by itself, and its configuration has other settings."""
    base = write_samples_alone(tmp_path / "base")
    target = write_samples_alone(
        tmp_path / "int4", {"generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 256}}
    )
    verdicts = check_same_settings(base, target)
    assert any(UNSTATED_SETTINGS in note for note in verdicts.notes)


def test_samples_without_results_state_only_some_settings(tmp_path: Path) -> None:
    base = write_samples_alone(tmp_path / "base")
    target = write_samples_alone(tmp_path / "int4", {"repeats": 1})  # the samples do not state repeats
    write_base_log(read_log(base), tmp_path / "base.parquet")
    stored = read_base_log(tmp_path / "base.parquet", "base.parquet")
    assert judge_logs(stored, read_log(target), LogBudgets(), Rules()).comparisons
    unstated = write_samples_alone(tmp_path / "w8", {"generation_kwargs": None})
    check_same_settings(base, unstated)


def test_options_of_lm_eval_metrics_are_compared(tmp_path: Path) -> None:
    base = write_lm_eval_log(tmp_path / "base", ignore_case=False, regexes_to_ignore=[])
    target = write_lm_eval_log(tmp_path / "int4", ignore_case=True, regexes_to_ignore=[","])
    words = 'scorers {"acc": {}} and {"acc": {"ignore_case": true, "regexes_to_ignore": [","]}}'
    check_setting(base, target, "scorers", words)
    check_same_settings(base, write_lm_eval_log(tmp_path / "w8"))


def write_task_config(folder: Path, options: Mapping[str, Any], /, **results: Any) -> Path:
    configs = {"sums": {"task": "sums", "doc_to_choice": ["A", "B"], "target_delimiter": " ", **options}}
    return write_lm_eval(folder, {"sums": [1.0, 0.0, 1.0]}, results={"configs": configs, **results})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"doc_to_choice": ["yes", "no"]},
            '{"doc_to_choice": ["A", "B"]} and {"doc_to_choice": ["yes", "no"]}',
        ),
        ({"target_delimiter": ""}, '{"target_delimiter": " "} and {"target_delimiter": ""}'),
        (
            {"process_results": "def process_results(doc, results):\n    return {'acc': 1}\n"},
            '{"process_results": null} and {"process_results": "def process_results(doc',
        ),
    ],
    ids=["choices", "delimiter", "scoring"],
)
def test_the_configuration_of_a_task_is_compared(
    tmp_path: Path, config: Mapping[str, Any], words: str
) -> None:
    version = {"lm_eval_version": "0.4.9"}
    base = write_task_config(tmp_path / "base", {}, **version)
    target = write_task_config(tmp_path / "int4", config, **version)
    check_setting(base, target, "task_args", f"task arguments {words}")


def test_what_no_prompt_or_score_depends_on_is_not_compared(tmp_path: Path) -> None:
    files = [
        write_task_config(
            tmp_path / name,
            {
                "dataset_path": f"/data/{name}",
                "metadata": {"model": name},
                "process_docs": f"<function process_docs at 0x{address}>",
                "task_alias": name,
            },
            lm_eval_version="0.4.9",
        )
        for name, address in (("base", "7f01"), ("int4", "7fa2"))
    ]
    check_same_settings(*files)


def test_an_option_that_only_another_version_writes_is_a_note(tmp_path: Path) -> None:
    base = write_task_config(tmp_path / "base", {}, lm_eval_version="0.4.5")
    target = write_task_config(tmp_path / "int4", {"gen_prefix": "So"}, lm_eval_version="0.4.9")
    words = 'task arguments that only one of the logs has, and that are not compared: gen_prefix = "So"'
    assert any(words in note for note in judge_files(base, target).notes)


@pytest.mark.parametrize(
    "results",
    [
        {"system_instruction": "Be brief."},
        {"chat_template": "{{ messages }}"},
        {"fewshot_as_multiturn": True},
        {"config": {"gen_kwargs": {}, "apply_chat_template": True}},
        {"config": {"gen_kwargs": {}, "fewshot_as_multiturn": True}},
    ],
    ids=["system instruction", "template", "multiturn", "argument", "multiturn argument"],
)
def test_all_statements_of_the_chat_template_are_compared(tmp_path: Path, results: dict[str, Any]) -> None:
    base, target = write_task_config(tmp_path / "base", {}), write_task_config(tmp_path / "i", {}, **results)
    name = list(results.get("config", results))[-1]
    check_setting(base, target, "chat_template", f'{name}": ')


@pytest.mark.parametrize(
    "argument", ["chat_template", "add_bos_token", "system_instruction", "fewshot_as_multiturn"]
)
def test_arguments_that_change_prompts_are_compared(tmp_path: Path, argument: str) -> None:
    base = write_lm_eval_log(tmp_path / "base", {"pretrained": "a"})
    target = write_lm_eval_log(tmp_path / "int4", {"pretrained": "b", argument: "x"})
    check_setting(base, target, "generation", f'{{"{argument}": null}} and {{"{argument}": "x"}}')


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
    notes = [note for note in judge_files(base, target).notes if UNSTATED_SETTINGS in note]
    assert notes == [f"mine, yours: {UNSTATED_SETTINGS}"]
