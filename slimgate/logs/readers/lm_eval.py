"""lm-evaluation-harness since 0.4: samples of `--log_samples`, with the results file of their run.

A row is a document under a filter. Documents, prompts and targets have hashes. `_lm_eval_files.py` has the
names of the files by version, and `_lm_eval_rows.py` the content of a sample.
Source: lm_eval/result_schema.py (SampleResult) of version 0.4.13, and `main` of 0.4.0.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import list_names
from slimgate.logs.json_lines import read_object
from slimgate.logs.readers._figures import list_task_figures, make_figures_error
from slimgate.logs.readers._lm_eval_files import (
    RunFiles,
    find_file_run,
    find_runs,
    has_runs,
    is_results,
    is_samples,
)
from slimgate.logs.readers._lm_eval_rows import (
    AGGREGATIONS,
    Aggregation,
    convert_filter_name,
    read_generation_kwargs,
    read_rows,
)
from slimgate.logs.readers._settings import read_answer_args
from slimgate.logs.runs import make_log
from slimgate.plugins.environments import (
    Environment,
    join_environments,
    make_environment,
    read_collected_env,
)
from slimgate.plugins.reader import FILTERS, GENERATION, SCORERS, TASK_ARGS, Log, Reader, Run, TaskLog

_MOST_NAMED = 3
# Metrics that lm-eval averages over samples unless a task states otherwise.
_MEANS = frozenset({"acc", "acc_norm", "exact_match"})
# Keys of `config` in the results file.
_SEEDS = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
_CHAT_ARGS = ("apply_chat_template", "system_instruction", "fewshot_as_multiturn")
_MODEL_KEYS = ("model_dtype", "model_revision", "model_sha", "model_num_parameters")
# Keys of the results file itself.
_TOKENIZER_KEYS = (
    "tokenizer_pad_token",
    "tokenizer_bos_token",
    "tokenizer_eos_token",
    "eot_token_id",
    "max_length",
)
# The generation settings in a task's configuration, and those of the request in samples without results.
_GENERATION_KWARGS, _OF_REQUEST = "generation_kwargs", "request"
# Keys of a task's configuration that are compared in another way: by samples, shots, filters, metrics and
# settings of generation. The rest changes prompts or scores. The name of the model is in `metadata`.
_NOT_TASK_ARGS = frozenset(
    (
        *("task", "task_alias", "tag", "group", "metadata", "unsafe_code", "output_type"),
        *("dataset_path", "dataset_name", "dataset_kwargs", "custom_dataset", "training_split"),
        *("validation_split", "test_split", "num_fewshot", "metric_list", "filter_list", "repeats"),
        *(_GENERATION_KWARGS, "should_decontaminate", "doc_to_decontamination_query"),
    )
)
# The address of a function in the memory of the process that wrote the log.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# Entries of a metric that are not its options.
_NO_OPTIONS = ("metric", "aggregation", "higher_is_better")


class LmEval(Reader):
    """A folder of one or more runs of one model, or one samples file. A results file alone is refused."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return has_runs(path)
        return _is_results_file(path) or (path.suffix in (".jsonl", ".json") and is_samples(path))

    def read(self, path: Path) -> Log:
        if _is_results_file(path):
            raise make_figures_error(
                path,
                list_task_figures(read_object(path)),
                "the score of each sample",
                f"give the folder of its samples ({path.parent}), which lm-eval writes with --log_samples",
            )
        if path.is_file():
            return make_log("lm_eval", str(path), [_make_run(path, find_file_run(path))])
        files = find_runs(path)
        runs = [_make_run(path, run) for run in files]
        if any(run.results is not None for run in files):
            runs = [_mark_unknown_settings(*pair) for pair in zip(runs, files, strict=True)]
        return make_log("lm_eval", str(path), runs)


def _is_results_file(path: Path) -> bool:
    """Whether it is the file of figures that lm-eval writes next to the samples."""
    return path.is_file() and path.match("results*.json") and is_results(path)


def _make_run(path: Path, files: RunFiles) -> Run:
    """The run of one start time. path: the log as the user named it, for messages."""
    results, samples = files.results, files.samples
    notes = _describe_unknown(path, results)
    names_in_results = {task: task for task in samples}
    counts = (results or {}).get("n-samples")
    unsampled = sorted(set(counts) - set(samples)) if isinstance(counts, dict) else []
    configs = (results or {}).get("configs")
    has_config = isinstance(configs, dict) and bool(configs.keys() & samples.keys())
    if len(samples) == len(unsampled) == 1 and not has_config:
        (task,), (name_in_results,) = samples, unsampled
        names_in_results, unsampled = {task: name_in_results}, []
        notes.append(
            f"{path}: its results file calls the only task {name_in_results}, and its samples file {task}"
        )
    if samples and unsampled:
        notes.append(
            f"{path}: its results file also has {list_names(unsampled, _MOST_NAMED)}, of which there are no "
            "samples"
        )
    no_samples = (
        f"results without samples ({', '.join(unsampled) or 'no task'}): run it again with --log_samples"
    )
    return Run(
        time=files.time,
        tasks={
            task: _make_task_log(names_in_results[task], file, results or {})
            for task, file in sorted(samples.items())
        },
        model=_find_model_name(results or {}),
        notes=tuple(notes),
        problem=None if samples else no_samples,
        environment=_read_environment(results or {}),
    )


def _describe_unknown(path: Path, results: JsonObject | None) -> list[str]:
    """A line if settings are not known, because there are no results or they do not state them."""
    if results is None:
        return [
            f"{path}: no results_*.json next to the samples: the direction of metrics, shots, chat "
            "template, limits and versions are not known, so they were not compared"
        ]
    if results.get("n-shot") is None:
        unknown = "shots" if results.get("versions") else "shots and versions"
        return [f"{path}: its results file does not say {unknown}"]
    return []


def _read_model_args(results: JsonObject) -> dict[str, object]:
    """The arguments of the model by name; older versions write them as one text."""
    arguments = (results.get("config") or {}).get("model_args")
    if isinstance(arguments, str):
        pairs = (part.partition("=") for part in arguments.split(","))
        return {name.strip(): value for name, _, value in pairs}
    return dict(arguments or {})


def _read_environment(results: JsonObject) -> Environment:
    """The versions, settings and hardware in the results file."""
    config = results.get("config") or {}
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
                **{f"model_args.{name}": value for name, value in _read_model_args(results).items()},
                **{name: config.get(name) for name in _MODEL_KEYS},
                **{name: results.get(name) for name in _TOKENIZER_KEYS},
            },
            engine={"backend": config.get("model"), "batch_size": config.get("batch_size")},
            harness={"lm-eval": results.get("lm_eval_version"), "git hash": results.get("git_hash")},
            libraries={"transformers": results.get("transformers_version")},
            hardware={"device": config.get("device")},
        ),
    )


def _mark_unknown_settings(run: Run, files: RunFiles) -> Run:
    """The run, with a problem if it has no results file. It is then not judged, as other runs have one."""
    if files.results is not None or run.problem:
        return run
    return replace(
        run,
        problem=f"its samples have no results file of their time, results_{run.time}.json, so its settings "
        "are not known; put that file next to them, or name a samples file alone",
    )


def _find_model_name(results: JsonObject) -> str | None:
    config = results.get("config") or {}
    arguments = config.get("model_args")
    pretrained = arguments.get("pretrained") if isinstance(arguments, dict) else None
    model = pretrained or results.get("model_name")
    return None if model is None else str(model)


def _make_task_log(task: str, file: Path, results: JsonObject) -> TaskLog:
    """The log of one task. task: its name in the results file. file: its samples."""
    stated = {key: table.get(task) for key, table in results.items() if isinstance(table, dict)}
    config = stated.get("configs") or {}
    aggregations = _read_aggregations(config)
    filters = config.get("filter_list")
    entries = filters if isinstance(filters, list) else []
    filter_names = [str(entry["name"]) for entry in entries if isinstance(entry, dict) and "name" in entry]
    settings = _read_settings(results, stated)
    partial_settings: tuple[str, ...] = ()
    if not config and (generation := read_generation_kwargs(file)) is not None:
        # The samples do not state the model's arguments, such as max_gen_toks. Their settings are those of
        # the request, which a task may build without its configuration.
        settings[GENERATION] = {_OF_REQUEST: generation}
        partial_settings = (GENERATION,)
    return TaskLog(
        rows=partial(read_rows, file, filter_names, aggregations),
        higher_is_better=_read_directions(stated.get("higher_is_better") or {}, config),
        settings=settings,
        partial_settings=partial_settings,
        shared_options=(TASK_ARGS,),
        samples=(stated.get("n-samples") or {}).get("effective"),
        means=_read_means(stated.get("results") or {}, config),
        filters=_list_stated_filters(stated.get("results") or {}),
        corpus={
            metric: "rate" if aggregation == "bits_per_byte" else "perplexity"
            for metric, aggregation in aggregations.items()
        },
        written=config.get("output_type", "generate_until") == "generate_until",
    )


def _list_metrics(config: JsonObject) -> list[JsonObject]:
    """The entries of `metric_list` in a task's configuration that name a metric."""
    metrics = config.get("metric_list") or ()
    return [entry for entry in metrics if isinstance(entry, dict) and "metric" in entry]


def _read_aggregations(config: JsonObject) -> dict[str, Aggregation]:
    """The aggregation of each metric whose figure is no mean: as the task states, else by its name."""
    by_name = {name: name for name in AGGREGATIONS.values()}
    aggregations = dict(AGGREGATIONS)
    for entry in _list_metrics(config):
        metric, stated = str(entry["metric"]), entry.get("aggregation")
        if stated in by_name:
            aggregations[metric] = by_name[stated]
        elif stated is not None:
            aggregations.pop(metric, None)
    return aggregations


def _read_directions(better: JsonObject, config: JsonObject) -> dict[str, bool]:
    """The direction by metric; older results files state it only in the list of metrics."""
    directions = {
        str(entry["metric"]): entry["higher_is_better"]
        for entry in _list_metrics(config)
        if isinstance(entry.get("higher_is_better"), bool)
    }
    stated = {name: value for name, value in better.items() if isinstance(value, bool)}
    return {**directions, **stated}


def _list_stated_filters(results: JsonObject) -> tuple[str, ...]:
    """The filters with a figure in the results, whose keys are `METRIC,FILTER`."""
    keys = [str(key).partition(",") for key in results]
    return tuple(
        dict.fromkeys(
            convert_filter_name(name)
            for metric, comma, name in keys
            if comma and not metric.endswith("_stderr")
        )
    )


def _read_means(results: JsonObject, config: JsonObject) -> dict[tuple[str, str], float]:
    """The figures that lm-eval states, by filter and metric: means of _MEANS, and figures of a corpus."""
    stated = {entry["metric"]: entry.get("aggregation") for entry in _list_metrics(config)}
    corpus_metrics = _read_aggregations(config)
    means: dict[tuple[str, str], float] = {}
    for key, value in results.items():
        metric, comma, name = str(key).partition(",")
        is_mean = metric in _MEANS and stated.get(metric) in ("mean", None)
        if comma and (is_mean or metric in corpus_metrics) and isinstance(value, int | float):
            means[convert_filter_name(name), metric] = float(value)
    return means


def _read_settings(results: JsonObject, stated: JsonObject) -> dict[str, object]:
    """The settings of a task that comparisons check. stated: the task's entries in the results."""
    run_config, config = results.get("config") or {}, stated.get("configs") or {}
    shots, samples, version = (stated.get(key) for key in ("n-shot", "n-samples", "versions"))
    settings: dict[str, object] = {}
    if shots is not None:
        settings["shots"] = {"shots": shots} | ({"seed": run_config.get("fewshot_seed")} if shots else {})
    if isinstance(samples, dict):
        # The counts alone do not show that there was no limit.
        original, effective = samples.get("original"), samples.get("effective")
        settings["limit"] = (
            f"none ({effective} samples)" if original == effective else f"{effective} of {original} samples"
        )
    if version is not None:
        settings["version"] = version
    if results:
        settings["chat_template"] = _read_chat_settings(results, run_config)
    if config:
        settings[GENERATION] = {
            _GENERATION_KWARGS: config.get(_GENERATION_KWARGS),
            "gen_kwargs": run_config.get("gen_kwargs"),
            "repeats": config.get("repeats"),
            **read_answer_args(_read_model_args(results)),
        }
        settings[SCORERS] = {
            str(entry["metric"]): {
                name: value for name, value in entry.items() if name not in _NO_OPTIONS and value
            }
            for entry in _list_metrics(config)
        }
        settings[FILTERS] = config.get("filter_list")
        task_args = {name: value for name, value in config.items() if name not in _NOT_TASK_ARGS}
        settings[TASK_ARGS] = json.loads(_ADDRESS.sub("", json.dumps(task_args)))
    return settings


def _read_chat_settings(results: JsonObject, run_config: JsonObject) -> dict[str, object]:
    """The chat template and the system instruction, by digest or text, and how shots are shown."""
    names = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")
    return {
        **{name: results.get(name) for name in names},
        # a version that states the texts in place of their digests, or among the arguments of the run
        **{
            name: text
            for name in ("chat_template", "system_instruction")
            if not results.get(f"{name}_sha") and (text := results.get(name))
        },
        **{f"config.{name}": run_config[name] for name in _CHAT_ARGS if run_config.get(name)},
    }


reader = LmEval()
