"""lm-evaluation-harness since 0.4: samples of `--log_samples`, with the results file of their run.

A row is a document under a filter. Documents, prompts and targets have hashes. `_lm_eval_files.py` has the
names of the files by version, and `_lm_eval_rows.py` the content of a sample.
Source: lm_eval/result_schema.py (SampleResult) of version 0.4.13, and `main` of 0.4.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from slimgate.errors import list_names
from slimgate.logs.figures import figures_alone, list_task_figures
from slimgate.logs.json_lines import read_object
from slimgate.logs.readers._lm_eval_files import (
    RunFiles,
    find_run_of,
    find_runs,
    holds_runs,
    is_results,
    is_samples,
)
from slimgate.logs.readers._lm_eval_rows import AGGREGATIONS, Aggregation, filter_name, read_rows
from slimgate.logs.runs import make_log
from slimgate.plugins.environments import (
    Environment,
    join_environments,
    make_environment,
    read_collected_env,
)
from slimgate.plugins.reader import Log, Reader, Run, TaskLog

_MOST_NAMED = 3


class LmEval(Reader):
    """A folder of one or more runs of one model, or one samples file. A results file alone is refused."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return holds_runs(path)
        return _is_results_file(path) or (path.suffix in (".jsonl", ".json") and is_samples(path))

    def read(self, path: Path) -> Log:
        if _is_results_file(path):
            raise figures_alone(
                path,
                list_task_figures(read_object(path)),
                "the score of each sample",
                f"give the folder of its samples ({path.parent}), which lm-eval writes with --log_samples",
            )
        if path.is_file():
            _, run = find_run_of(path)
            return make_log("lm_eval", str(path), [_run(path, run)])
        files = find_runs(path)
        runs = [_run(path, run) for run in files]
        if any(run.results is not None for run in files):
            runs = [_check_settings_known(*pair) for pair in zip(runs, files, strict=True)]
        return make_log("lm_eval", str(path), runs)


def _is_results_file(path: Path) -> bool:
    """Whether it is the file of figures that lm-eval writes next to the samples."""
    return path.is_file() and path.match("results*.json") and is_results(path)


# Metrics that lm-eval averages over samples unless a task states otherwise.
_MEANS = frozenset({"acc", "acc_norm", "exact_match"})


def _run(path: Path, files: RunFiles) -> Run:
    """The run of one start time."""
    results, samples = files.results, files.samples
    notes: list[str] = []
    if results is None:
        notes.append(
            f"{path}: no results_*.json next to the samples: the direction of metrics, shots, chat "
            "template, limits and versions are not known, so they were not compared"
        )
    elif results.get("n-shot") is None:
        notes.append(f"{path}: its results file does not say shots and versions")
    stated = {task: task for task in samples}
    counts = (results or {}).get("n-samples")
    lacking = sorted(set(counts) - set(samples)) if isinstance(counts, dict) else []
    configs = (results or {}).get("configs")
    has_config = isinstance(configs, dict) and bool(configs.keys() & samples.keys())
    if len(samples) == len(lacking) == 1 and not has_config:
        (task,), (other,) = samples, lacking
        stated, lacking = {task: other}, []
        notes.append(f"{path}: its results file calls the only task {other}, and its samples file {task}")
    if samples and lacking:
        notes.append(
            f"{path}: its results file also has {list_names(lacking, _MOST_NAMED)}, of which there are no "
            "samples"
        )
    return Run(
        time=files.time,
        tasks={task: _task(stated[task], file, results or {}) for task, file in sorted(samples.items())},
        model=_model(results or {}),
        notes=tuple(notes),
        problem=None
        if samples
        else f"results without samples ({', '.join(lacking) or 'no task'}): run it again with --log_samples",
        environment=_environment(results or {}),
    )


_SEEDS = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
_OF_MODEL = ("model_dtype", "model_revision", "model_sha", "model_num_parameters")
_TOKENS = ("tokenizer_pad_token", "tokenizer_bos_token", "tokenizer_eos_token", "eot_token_id", "max_length")


def _environment(results: Mapping[str, Any]) -> Environment:
    """The versions, settings and hardware in the results file."""
    config = results.get("config") or {}
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        pairs = (part.partition("=") for part in arguments.split(","))
        arguments = {name: value for name, _, value in pairs}
    collected = results.get("pretty_env_info")
    return join_environments(
        read_collected_env(collected) if isinstance(collected, str) else {},
        make_environment(
            prompt={
                "chat template": results.get("chat_template_sha") or results.get("chat_template"),
                "system instruction": results.get("system_instruction")
                or results.get("system_instruction_sha"),
                "fewshot_as_multiturn": results.get("fewshot_as_multiturn"),
                "task hash": results.get("task_hashes"),
            },
            sampling={name: config.get(name) for name in ("gen_kwargs", "limit", "use_cache", *_SEEDS)},
            model={
                **{f"model_args.{name}": value for name, value in (arguments or {}).items()},
                **{name: config.get(name) for name in _OF_MODEL},
                **{name: results.get(name) for name in _TOKENS},
            },
            engine={"backend": config.get("model"), "batch_size": config.get("batch_size")},
            harness={"lm-eval": results.get("lm_eval_version"), "git hash": results.get("git_hash")},
            libraries={"transformers": results.get("transformers_version")},
            hardware={"device": config.get("device")},
        ),
    )


def _check_settings_known(run: Run, files: RunFiles) -> Run:
    """The run; next to runs with a results file, a run without one has unknown settings: not judged."""
    if files.results is not None or run.problem:
        return run
    return replace(
        run,
        problem=f"its samples have no results file of their time, results_{run.time}.json, so its settings "
        "are not known; put that file next to them, or name a samples file alone",
    )


def _model(results: Mapping[str, Any]) -> str | None:
    config = results.get("config") or {}
    arguments = config.get("model_args")
    pretrained = arguments.get("pretrained") if isinstance(arguments, dict) else None
    model = pretrained or results.get("model_name")
    return None if model is None else str(model)


def _task(task: str, file: Path, results: Mapping[str, Any]) -> TaskLog:
    def of(key: str) -> Any:
        table = results.get(key)
        return table.get(task) if isinstance(table, dict) else None

    config = of("configs") or {}
    aggregations = _read_aggregations(config)
    filters = config.get("filter_list")
    entries = filters if isinstance(filters, list) else []
    names = [str(entry["name"]) for entry in entries if isinstance(entry, dict) and "name" in entry]
    return TaskLog(
        rows=partial(read_rows, file, names, aggregations),
        higher_is_better=_read_directions(of("higher_is_better") or {}, config),
        settings=_settings(results, config, of("n-shot"), of("n-samples"), of("versions")),
        samples=(of("n-samples") or {}).get("effective"),
        means=_read_means(of("results") or {}, config),
        filters=_list_stated_filters(of("results") or {}),
        corpus={
            metric: "rate" if aggregation == "bits_per_byte" else "perplexity"
            for metric, aggregation in aggregations.items()
        },
        written=config.get("output_type", "generate_until") == "generate_until",
    )


def _list_metrics(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    metrics = config.get("metric_list") or ()
    return [entry for entry in metrics if isinstance(entry, dict) and "metric" in entry]


def _read_aggregations(config: Mapping[str, Any]) -> dict[str, Aggregation]:
    """By metric, for figures that are not means of numbers: as the task states, else by its name."""
    by_name = {name: name for name in AGGREGATIONS.values()}
    aggregations = dict(AGGREGATIONS)
    for entry in _list_metrics(config):
        metric, stated = str(entry["metric"]), entry.get("aggregation")
        if stated in by_name:
            aggregations[metric] = by_name[stated]
        elif stated is not None:
            aggregations.pop(metric, None)
    return aggregations


def _read_directions(better: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, bool]:
    """The direction by metric; older results files state it only in the list of metrics."""
    directions = {
        str(entry["metric"]): entry["higher_is_better"]
        for entry in _list_metrics(config)
        if isinstance(entry.get("higher_is_better"), bool)
    }
    stated = {name: value for name, value in better.items() if isinstance(value, bool)}
    return {**directions, **stated}


def _list_stated_filters(results: Mapping[str, Any]) -> tuple[str, ...]:
    """The filters with a figure in the results."""
    names = [str(key).partition(",") for key in results if not str(key).partition(",")[0].endswith("_stderr")]
    return tuple(dict.fromkeys(filter_name(name) for _, comma, name in names if comma))


def _read_means(results: Mapping[str, Any], config: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """The means that lm-eval states for metrics that are means over samples, by filter and metric."""
    stated = {entry["metric"]: entry.get("aggregation") for entry in _list_metrics(config)}
    corpus = _read_aggregations(config)
    means: dict[tuple[str, str], float] = {}
    for key, value in results.items():
        metric, comma, name = str(key).partition(",")
        is_mean = stated.get(metric, "mean" if metric in _MEANS else None) in ("mean", None)
        is_known = metric in corpus or (metric in _MEANS and is_mean)
        if comma and is_known and isinstance(value, int | float):
            means[filter_name(name), metric] = float(value)
    return means


def _settings(
    results: Mapping[str, Any], config: Mapping[str, Any], shots: Any, samples: Any, version: Any
) -> dict[str, Any]:
    run = results.get("config") or {}
    settings: dict[str, Any] = {}
    if shots is not None:
        settings["shots"] = {"shots": shots} | ({"seed": run.get("fewshot_seed")} if shots else {})
    if isinstance(samples, dict):
        # The counts alone do not show that there was no limit.
        original, effective = samples.get("original"), samples.get("effective")
        settings["limit"] = (
            f"none ({effective} samples)" if original == effective else f"{effective} of {original} samples"
        )
    if version is not None:
        settings["version"] = version
    if results:
        names = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")
        settings["chat_template"] = {name: results.get(name) for name in names}
    if config:
        settings["generation"] = {
            "generation_kwargs": config.get("generation_kwargs"),
            "gen_kwargs": run.get("gen_kwargs"),
            "repeats": config.get("repeats"),
        }
        settings["filters"] = config.get("filter_list")
    return settings


reader = LmEval()
