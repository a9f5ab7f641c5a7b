"""Every Eval Ever: `UUID.json` of a run in the shared schema, with its samples in `UUID_samples.jsonl`.

The samples file has a line for each sample and result. The JSON states the metric of each result, with its
direction and its range. A run without samples, such as a leaderboard's, has only figures and is refused.
Schema: versions 0.2.0 to 0.3.0 (eval.schema.json, instance_level_eval.schema.json).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import DataError
from slimgate.logs.json_lines import (
    convert_to_text,
    read_beginning,
    read_first_keys,
    read_object,
    read_objects,
)
from slimgate.logs.readers._figures import make_figures_error
from slimgate.logs.readers._rows import make_keys, refuse_malformed
from slimgate.logs.runs import make_log, refuse_several_models
from slimgate.plugins.reader import GENERATION, Log, Reader, Row, Run, TaskLog

_END = "_samples.jsonl"
# Metrics that are by definition means over samples, in the unit of a sample's score.
_MEANS = frozenset({"accuracy", "exact_match"})
_NEEDED = "the score of each sample"


class EveryEvalEver(Reader):
    """A run's JSON or samples file, or a folder of the runs of one model."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(map(self.recognizes, sorted(path.glob("*.json*"))))
        if path.suffix == ".jsonl":
            return {"evaluation_id", "sample_id", "evaluation"} <= read_first_keys(path)
        start = read_beginning(path, 20_000)
        return path.suffix == ".json" and all(
            f'"{key}"' in start for key in ("schema_version", "evaluation_id", "source_metadata")
        )

    def read(self, path: Path) -> Log:
        if path.is_file():
            return make_log("every_eval_ever", str(path), [_open_run(path)])
        files = [file for file in sorted(path.glob("*.json*")) if self.recognizes(file)]
        summaries = {file for file in files if file.suffix == ".json"}
        without_summary = [
            file for file in files if file.suffix == ".jsonl" and _make_summary_path(file) not in summaries
        ]
        runs = [*map(_open_run, sorted(summaries)), *map(_open_run, without_summary)]
        refuse_several_models(path, runs)
        return make_log("every_eval_ever", str(path), runs)


def _make_summary_path(samples: Path) -> Path:
    return samples.with_name(samples.name.removesuffix(_END) + ".json")


def _open_run(path: Path) -> Run:
    """Reads the run of a JSON or samples file. A run without samples has a problem instead of tasks."""
    if path.suffix == ".jsonl":
        summary_file = _make_summary_path(path)
        summary = read_object(summary_file) if summary_file.is_file() else {}
        return _read_run(path, summary)
    summary = read_object(path)
    detailed = summary.get("detailed_evaluation_results")
    names = [path.stem + _END, *([Path(str(detailed["file_path"])).name] if detailed else [])]
    samples = next((file for name in names if (file := path.with_name(name)).is_file()), None)
    if samples is not None:
        return _read_run(samples, summary)
    figures = [
        (str(result["evaluation_name"]), result["score_details"]["score"])
        for result in summary.get("evaluation_results") or ()
    ]
    remedy = f"put {names[-1]} next to it" if detailed else "give a run that has a samples file"
    return Run(
        _read_time(summary),
        {},
        _read_model(summary),
        problem=str(make_figures_error(path, figures, _NEEDED, remedy)).removeprefix(f"{path}: "),
    )


def _read_time(summary: JsonObject) -> str:
    return str(summary.get("evaluation_timestamp") or summary.get("retrieved_timestamp") or "")


def _read_model(summary: JsonObject) -> str | None:
    model = summary.get("model_info") or {}
    name = model.get("id") or model.get("name")
    return None if name is None else str(name)


def _read_run(samples: Path, summary: JsonObject) -> Run:
    """Reads a run, with a task for each result.

    Samples name their result by `evaluation_result_id`, or by the name of the evaluation.
    """
    results = {_find_key(result): result for result in summary.get("evaluation_results") or ()}
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    models: set[str] = set()
    for _, row in read_objects(samples):
        key = _find_key(row)
        counts[key] += 1
        names.setdefault(key, str(row["evaluation_name"]))
        models.add(str(row["model_id"]))
    if len(models) > 1:
        raise DataError(f"{samples}: samples of {len(models)} models ({', '.join(sorted(models)[:3])})")
    keys_of_name = Counter(names.values())
    detailed = summary.get("detailed_evaluation_results") or {}
    total = detailed.get("total_rows") if len(counts) == 1 else None
    tasks = {
        name if keys_of_name[name] == 1 else key: _make_task_log(
            samples, key, results.get(key) or _find_result(results, name), total
        )
        for key, name in names.items()
    }
    notes = () if summary else (f"{samples}: no JSON of the run next to it, so its metric is not known",)
    model = next(iter(models), None)
    return Run(_read_time(summary), tasks, model if model is not None else _read_model(summary), notes)


def _find_key(entry: JsonObject) -> str:
    """The key that joins a sample to its result."""
    return str(entry.get("evaluation_result_id") or entry["evaluation_name"])


def _find_result(results: Mapping[str, JsonObject], name: str) -> JsonObject:
    """The only result of an evaluation whose samples do not name its id; {} if there are several."""
    named = [result for result in results.values() if result["evaluation_name"] == name]
    return named[0] if len(named) == 1 else {}


def _make_task_log(samples: Path, key: str, result: JsonObject, total: int | None) -> TaskLog:
    config = result.get("metric_config") or {}
    metric = str(config.get("metric_id") or config.get("metric_name") or "score")
    low, high = _read_bound(config.get("min_score"), -inf), _read_bound(config.get("max_score"), inf)
    # The range of a figure in percent is not that of its samples, which may be 0 or 1.
    is_percent = config.get("metric_unit") == "percent" or high == 100
    stated = (result.get("score_details") or {}).get("score")
    generation = (result.get("generation_config") or {}).get("generation_args")
    is_mean = high == 1 and str(config.get("metric_kind") or metric).casefold() in _MEANS
    return TaskLog(
        partial(_read_rows, samples, key, metric),
        {metric: not lower} if isinstance(lower := config.get("lower_is_better"), bool) else {},
        {GENERATION: generation} if generation else {},
        samples=total,
        ranges={} if is_percent or (low, high) == (-inf, inf) else {metric: (low, high)},
        means={("", metric): float(stated)} if is_mean and stated is not None and total is not None else {},
        # each converter may round in its way
        decimals=0,
    )


def _read_bound(value: float | str | None, unknown: float) -> float:
    """Reads a number, or a text such as "Infinity"; `unknown` if it is neither."""
    with suppress(TypeError, ValueError):
        return float(value)  # type: ignore[arg-type]  # None gives a TypeError
    return unknown


def _read_rows(samples: Path, key: str, metric: str) -> Iterator[Row]:
    for line, row in read_objects(samples):
        if _find_key(row) != key:
            continue
        with refuse_malformed(f"{samples}: line {line} is not a sample of the schema"):
            question, answer = row["input"], row.get("output") or {}
            reference, error = convert_to_text(question.get("reference")), row.get("error")
            prompt = convert_to_text(question.get("formatted") or question.get("raw"))
            document = (
                convert_to_text([question["raw"], reference])
                if question.get("raw")
                else row.get("sample_hash")
            )
            raw = answer.get("raw") if row.get("output") else row.get("messages")
            yield Row(
                id=str(row["sample_id"]),
                scores={metric: None if error else row["evaluation"]["score"]},
                keys=make_keys(document=document, prompt=prompt, target=reference),
                error=None if error is None else str(error),
                prompt=prompt,
                answer=convert_to_text(raw[0] if isinstance(raw, list) and len(raw) == 1 else raw),
                target=reference,
                fields=row.get("metadata") or None,
                answer_tokens=(row.get("token_usage") or {}).get("output_tokens"),
            )


reader = EveryEvalEver()
