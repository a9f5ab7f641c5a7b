"""lighteval: `details_<task>_<time>.parquet` of `--save-details`, one row per document.

Columns `doc`, `model_response` and `metric` are structs; metrics are the fields of the last. Before version
0.11 their names were `__doc__`, `__model_response__` and `__metric__`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa

from slimgate._system.json_text import JsonObject
from slimgate.data.row_files import open_parquet
from slimgate.errors import DataError
from slimgate.logs.json_lines import convert_to_text, read_beginning, read_object
from slimgate.logs.readers._figures import list_task_figures, make_figures_error
from slimgate.logs.readers._settings import read_answer_args
from slimgate.logs.runs import make_log
from slimgate.plugins.environments import Environment, make_environment
from slimgate.plugins.reader import (
    DOCUMENT,
    GENERATION,
    PROMPT,
    TARGET,
    Log,
    Reader,
    Row,
    Run,
    TaskLog,
)

_DETAILS = re.compile(r"details_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.parquet")
_COLUMNS = ("doc", "model_response", "metric")
_OLD_COLUMNS = tuple(f"__{name}__" for name in _COLUMNS)
_ROWS_AT_ONCE = 2_000
_CHAT = ("system_prompt", "use_chat_template", "override_chat_template")
_OF_TASK = {"shots": "num_fewshots", "version": "version"}
# Fields of lighteval's model configuration that do not describe the model.
_OF_PROMPT = (*_CHAT, "multichoice_continuations_start_space")
_OF_ENGINE = (
    "batch_size",
    "tensor_parallel_size",
    "data_parallel_size",
    "pipeline_parallel_size",
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "base_url",
)
# Metrics that lighteval averages over samples; others, such as f1 of a corpus, have other formulas.
_MEANS = frozenset({"acc", "acc_norm", "em", "exact_match", "extractive_match"})
# The fields of a document in addition to `specific`, which belongs to its task.
_FIELDS = ("task_name", "gold_index", "num_asked_few_shots")


class Lighteval(Reader):
    """One details file, or a folder of one or more runs of one model. A results file alone is refused."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(path.glob("**/details_*.parquet")) or _find_results_file(path) is not None
        if _is_results_file(path):
            return True
        if path.suffix != ".parquet":
            return False
        try:
            with open_parquet(path) as parquet:
                return _find_columns(parquet.schema_arrow.names) is not None
        except DataError:
            return False

    def read(self, path: Path) -> Log:
        details = [path] if path.is_file() else sorted(path.glob("**/details_*.parquet"))
        alone = path if _is_results_file(path) else None if details else _find_results_file(path)
        if alone is not None:
            raise make_figures_error(
                alone,
                list_task_figures(read_object(alone)),
                "the score of each sample",
                _describe_remedy(alone),
            )
        folders = sorted({file.parent.parent for file in details}) if path.is_dir() else []
        if len(folders) > 1:
            names = ", ".join(folder.as_posix() for folder in folders[:3])
            raise DataError(f"{path}: logs of {len(folders)} models ({names}); give the folder of one model")
        tasks_of: dict[str, dict[str, Path]] = {}
        for file in details:
            match = _DETAILS.fullmatch(file.name)
            task, time = (match["task"], match["time"]) if match else (file.stem.removeprefix("details_"), "")
            tasks_of.setdefault(time, {})[task] = file
        model = folders[0].name if folders else None
        return make_log("lighteval", str(path), [_make_run(*pair, model) for pair in tasks_of.items()])


def _is_results_file(path: Path) -> bool:
    """Whether the file has the figures that lighteval writes about a run."""
    return path.match("results_*.json") and '"lighteval_sha"' in read_beginning(path, 20_000)


def _find_results_file(folder: Path) -> Path | None:
    return next(filter(_is_results_file, sorted(folder.glob("**/results_*.json"))), None)


def _describe_remedy(results: Path) -> str:
    """OUT/details/MODEL is the folder to give for OUT/results/MODEL/results_TIME.json."""
    parts = list((results if "results" in results.parts else results.resolve()).parent.parts)
    if "results" not in parts:
        return "give its details, which lighteval writes with --save-details"
    at = len(parts) - 1 - parts[::-1].index("results")
    folder = Path(*parts[:at], "details", *parts[at + 1 :])
    if folder.is_dir():
        return f"give its details, {folder}"
    return f"give its details, which lighteval writes with --save-details ({folder})"


def _make_run(time: str, files: Mapping[str, Path], model: str | None) -> Run:
    results = _read_results(next(iter(files.values())), time)
    tasks = {
        task: TaskLog(
            partial(_read_rows, file),
            higher_is_better=_read_directions(results, task),
            settings=_read_settings(results, task),
            samples=_count_samples(results, task),
            means=_read_means(results, task),
        )
        for task, file in sorted(files.items())
    }
    return Run(time, tasks, model, environment=_read_environment(results))


def _read_environment(results: JsonObject) -> Environment:
    """The versions and settings in the results file."""
    general = results.get("config_general") or {}
    model = general.get("model_config") or {}
    elsewhere = {*_OF_PROMPT, *_OF_ENGINE, "generation_parameters", "seed"}
    return make_environment(
        prompt={name: model.get(name) for name in _OF_PROMPT},
        sampling={
            "generation_parameters": model.get("generation_parameters"),
            "seed": model.get("seed"),
            "max_samples": general.get("max_samples"),
        },
        model={
            "model_dtype": general.get("model_dtype"),
            "model_sha": general.get("model_sha"),
            **{name: value for name, value in model.items() if name not in elsewhere},
        },
        engine={name: model.get(name) for name in _OF_ENGINE},
        harness={"lighteval commit": general.get("lighteval_sha")},
    )


def _read_results(details: Path, time: str) -> JsonObject:
    """OUT/results/MODEL/results_TIME.json of the same run as OUT/details/MODEL/TIME; {} without one."""
    parts = list(details.resolve().parts)
    if "details" not in parts:
        return {}
    at = len(parts) - 1 - parts[::-1].index("details")
    file = Path(*parts[:at], "results", *parts[at + 1 : -2], f"results_{time}.json")
    return read_object(file) if file.is_file() else {}


def _find_columns(names: Collection[str]) -> tuple[str, ...] | None:
    """The three columns with this version's names; None for a file of another tool."""
    return next((columns for columns in (_COLUMNS, _OLD_COLUMNS) if set(columns) <= set(names)), None)


def _read_directions(results: JsonObject, task: str) -> dict[str, bool]:
    """Whether more is better, by metric, if the results file states it for a metric of one name."""
    config = (results.get("config_tasks") or {}).get(task) or {}
    return {
        metric["metric_name"]: metric["higher_is_better"]
        for metric in config.get("metrics") or config.get("metric") or ()
        if isinstance(metric, dict)
        and isinstance(metric.get("metric_name"), str)
        and isinstance(metric.get("higher_is_better"), bool)
    }


def _read_settings(results: JsonObject, task: str) -> dict[str, object]:
    """The settings of a run and a task in the results file; empty without the file."""
    if not results:
        return {}
    general, config = results.get("config_general") or {}, (results.get("config_tasks") or {}).get(task) or {}
    model = general.get("model_config") or {}
    limit = general.get("max_samples")
    return {
        "limit": "none" if limit is None else f"{limit} samples",
        "chat_template": {name: model.get(name) for name in _CHAT},
        GENERATION: {
            "generation_parameters": model.get("generation_parameters"),
            **{name: config.get(name) for name in ("generation_size", "stop_sequence")},
            **read_answer_args(model),
        },
        **{name: config[key] for name, key in _OF_TASK.items() if key in config},
    }


def _read_means(results: JsonObject, task: str) -> dict[tuple[str, str], float]:
    """The means over samples that the results file states, by filter (always none) and metric."""
    stated = (results.get("results") or {}).get(task) or {}
    return {
        ("", metric): float(value)
        for metric, value in stated.items()
        if metric in _MEANS and isinstance(value, int | float)
    }


def _count_samples(results: JsonObject, task: str) -> int | None:
    """How many documents ran, according to the results file; None if it does not say so, or says -1."""
    config = (results.get("config_tasks") or {}).get(task) or {}
    count = config.get("effective_num_docs")
    return count if isinstance(count, int) and count > 0 else None


def _read_rows(file: Path) -> Iterator[Row]:
    seen: dict[str, int] = {}
    try:
        with open_parquet(file) as parquet:
            names = parquet.schema_arrow.names
            columns = _find_columns(names)
            if columns is None:
                raise DataError(
                    f"{file}: the columns are {', '.join(names[:8])}, expected {', '.join(_COLUMNS)}, as the "
                    "details of lighteval have them"
                )
            for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=list(columns)):
                parts = (batch.column(name).to_pylist() for name in columns)
                for doc, response, metric in zip(*parts, strict=True):
                    yield _make_row(doc, response or {}, metric, seen)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be read as parquet: {' '.join(str(error).split())[:200]}") from error


def _make_row(doc: JsonObject, response: JsonObject, metric: JsonObject, seen: dict[str, int]) -> Row:
    from slimgate._system.digests import digest_json

    query = convert_to_text(doc.get("query")) or ""
    named = str(doc.get("id") or "")
    # documents of some tasks have no id: then the document itself names the row
    key = named or digest_json([query])[:16]
    seen[key] = count = seen.get(key, 0) + 1
    texts = response.get("text_post_processed") or response.get("text") or []
    prompt = convert_to_text(response.get("input")) or query
    # Some versions write the index of the only right choice as a number, others as a list of one number.
    gold = doc.get("gold_index")
    # The task's fields of a document. Tables of one file have the keys of all rows, None if absent.
    specific = doc.get("specific")
    return Row(
        # a document that occurs twice is no repeat of an answer, so its further rows are no epochs
        id=key if count == 1 else f"{key} row {count}",
        scores={name: value for name, value in metric.items() if _is_score(value)},
        not_numbers=tuple(name for name, value in metric.items() if not _is_score(value)),
        keys={
            DOCUMENT: convert_to_text([query, doc.get("choices")]) or "",
            PROMPT: prompt,
            TARGET: convert_to_text(gold[0] if isinstance(gold, list) and len(gold) == 1 else gold) or "",
        },
        cluster=key,
        prompt=prompt,
        answer=_read_answer(texts, response, doc),
        target=_read_target(doc),
        truncated=_is_cut_off(response, doc),
        fields={
            **{name: doc.get(name) for name in _FIELDS},
            **(specific if isinstance(specific, dict) else {}),
        },
        answer_tokens=_count_tokens(response.get("output_tokens")),
    )


def _count_tokens(tokens: object) -> int | None:
    """The tokens of the first answer, from a list of lists of ids; None if a choice was scored."""
    first = tokens[0] if isinstance(tokens, list) and tokens else None
    return len(first) if isinstance(first, list) and first else None


def _is_cut_off(response: JsonObject, doc: JsonObject) -> bool | None:
    """Whether prompt or answer was cut; None for a text that may have exactly the allowed length."""
    count = response.get("truncated_tokens_count") or 0
    if sum(count) if isinstance(count, list) else count:
        return True
    if not response.get("text"):
        return False
    tokens, limit = _count_tokens(response.get("output_tokens")), doc.get("generation_size")
    return tokens >= limit if tokens is not None and isinstance(limit, int) else None


def _is_score(value: object) -> bool:
    return value is None or isinstance(value, int | float)


def _read_answer(texts: Sequence[object], response: JsonObject, doc: JsonObject) -> str | None:
    """The text, or for a multiple choice the likeliest choice."""
    if texts:
        return convert_to_text(texts[0])
    chances, choices = response.get("logprobs") or [], doc.get("choices") or []
    if len(chances) == len(choices) > 0:
        return convert_to_text(choices[max(range(len(chances)), key=chances.__getitem__)])
    return None


def _read_target(doc: JsonObject) -> str | None:
    gold, choices = doc.get("gold_index"), doc.get("choices") or []
    index = gold[0] if isinstance(gold, list) and gold else gold
    if isinstance(index, int) and 0 <= index < len(choices):
        return convert_to_text(choices[index])
    return convert_to_text(gold)


reader = Lighteval()
