"""EvalScope: `reviews/MODEL/BENCHMARK_SUBSET.jsonl` of a run, a line per sample.

Each entry of `sample_score.score.value` is a metric; `reports/MODEL/BENCHMARK.json` states its direction, its
range and its mean, if the file exists. Repeats of a sample have the same `group_id` and are one cluster.
Source: evalscope/api/evaluator/cache.py (ReviewResult) of version 1.14.1; lines of 1.0 have `input`, a text,
instead of the messages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from pathlib import Path

from slimgate._system.json_text import JsonObject
from slimgate.errors import list_names
from slimgate.logs.json_lines import (
    convert_to_text,
    read_first_keys,
    read_object,
    read_objects,
)
from slimgate.logs.readers._model_folders import group_by_run, list_files_of_models
from slimgate.logs.readers._rows import make_keys, refuse_malformed
from slimgate.logs.runs import make_log
from slimgate.plugins.reader import Log, Reader, Row, Run, TaskLog, name_further_epoch

_REVIEWS = "reviews"
# States of a score that counts (evalscope.constants.ScoreStatus); other scores are left out.
_USABLE = frozenset({"success", "fallback", "degraded"})
# EvalScope rounds its scores to four decimals.
_DECIMALS = 4
_MOST_NAMED = 4
_DIRECTIONS = {"higher_is_better": True, "lower_is_better": False}


class Evalscope(Reader):
    """The folder of one run or of several, or the reviews file of one subset."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return bool(_list_reviews(path))
        return _has_reviews(path)

    def read(self, path: Path) -> Log:
        if path.is_file():
            model = path.parent.name if path.parent.parent.name == _REVIEWS else None
            return make_log("evalscope", str(path), [Run("", {path.stem: _make_task_log(path)}, model)])
        by_run = group_by_run(path, _REVIEWS, _list_reviews(path))
        runs = [
            Run(
                folder.name,
                {file.stem: _make_task_log(file) for file in files},
                files[0].parent.name,
                _describe_unreviewed(files),
            )
            for folder, files in by_run.items()
        ]
        return make_log("evalscope", str(path), runs)


def _list_reviews(path: Path) -> list[Path]:
    return [*filter(_has_reviews, list_files_of_models(path, _REVIEWS, ".jsonl"))]


def _has_reviews(path: Path) -> bool:
    return path.suffix == ".jsonl" and {"index", "sample_score"} <= read_first_keys(path)


def _make_task_log(file: Path) -> TaskLog:
    reviews = [(row["sample_score"].get("group_id"), row["index"]) for _, row in read_objects(file)]
    better: dict[str, bool] = {}
    ranges: dict[str, tuple[float, float]] = {}
    means: dict[tuple[str, str], float] = {}
    counts: list[int] = []
    for name, metric, subset in _read_subsets(file):
        counts.append(subset["num"])
        # a mean over fewer samples leaves out the failed ones
        if subset["num"] >= len(reviews):
            means["", name] = subset["score"]
        semantics = metric.get("semantics") or {}
        if semantics.get("direction") in _DIRECTIONS:
            better[name] = _DIRECTIONS[semantics["direction"]]
        if bounds := semantics.get("value_range"):
            low, high = bounds.get("min"), bounds.get("max")
            ranges[name] = (-inf if low is None else float(low), inf if high is None else float(high))
    is_repeated = len({group for group, _ in reviews}) < len(reviews)
    rows = partial(_read_rows, file, is_repeated=is_repeated, repeats=_count_repeats(reviews))
    samples = max(counts, default=None)
    return TaskLog(
        rows,
        better,
        ranges=ranges,
        samples=None if samples is None or samples < len(reviews) else samples,
        means=means,
        decimals=_DECIMALS,
    )


def _count_repeats(reviews: Sequence[tuple[object, object]]) -> int | None:
    """The repeats of each sample, if the answers to sample g have the indexes from g * repeats on.

    reviews: (group, index) of each row; rows may be missing. None if groups and indexes are of another kind.
    """
    numbers = [
        (group, index)
        for group, index in reviews
        if isinstance(group, int) and isinstance(index, int) and group >= 0 <= index
    ]
    if len(numbers) < len(reviews):
        return None
    lower = max((index // (group + 1) + 1 for group, index in numbers), default=1)
    upper = min((index // group for group, index in numbers if group), default=lower)
    return lower if lower <= upper else None


def _list_reports(folder: Path) -> list[Path]:
    """The reports of the model whose reviews are in a folder."""
    return sorted((folder.parent.parent / "reports" / folder.name).glob("*.json"))


def _list_subsets(metric: JsonObject) -> list[JsonObject]:
    return [subset for category in metric["categories"] for subset in category["subsets"]]


def _describe_unreviewed(files: Sequence[Path]) -> tuple[str, ...]:
    """A note for each report with subsets that have no reviews. files: the reviews of a model."""
    reviewed = {file.stem for file in files}
    notes = []
    for report in _list_reports(files[0].parent):
        names = {
            f"{report.stem}_{subset['name']}": None
            for metric in read_object(report).get("metrics") or ()
            for subset in _list_subsets(metric)
            if subset.get("is_aggregate") is False
        }
        if lacking := [name for name in names if name not in reviewed]:
            notes.append(
                f"{report}: it also has {list_names(lacking, _MOST_NAMED)}, of which there are no reviews"
            )
    return tuple(notes)


def _read_subsets(file: Path) -> Iterator[tuple[str, JsonObject, JsonObject]]:
    """(name, metric, subset of this file) of each mean that `reports/MODEL/BENCHMARK.json` states."""
    for report in _list_reports(file.parent):
        if not file.stem.startswith(f"{report.stem}_"):
            continue
        subset_name = file.stem.removeprefix(f"{report.stem}_")
        for metric in read_object(report).get("metrics") or ():
            identity = metric.get("identity") or {}
            if identity.get("aggregation") != "mean" or identity.get("dimensions"):
                continue
            for subset in _list_subsets(metric):
                if subset["name"] == subset_name:
                    yield str(identity["name"]), metric, subset


def _read_rows(file: Path, *, is_repeated: bool, repeats: int | None) -> Iterator[Row]:
    """The rows of a file. repeats: of each sample; None: not known, so each row has the name of its index."""
    for line, row in read_objects(file):
        with refuse_malformed(f"{file}: line {line} is not a review of EvalScope"):
            sample = row["sample_score"]
            score, group = sample["score"], sample.get("group_id")
            usable = score.get("status", "success") in _USABLE
            summary = score.get("judge_summary") or {}
            name = str(row["index"])
            cluster = str(group) if is_repeated and group is not None else None
            if cluster is not None and repeats is not None:
                name = name_further_epoch(cluster, row["index"] % repeats + 1)
            prompt, right = _read_prompt(row), convert_to_text(row.get("target"))
            yield Row(
                id=name,
                scores={
                    name: float(value) if usable and isinstance(value, int | float) else None
                    for name, value in score["value"].items()
                },
                keys=make_keys(prompt=prompt, target=right),
                cluster=cluster,
                error=None if usable else str(summary.get("error") or score["status"]),
                prompt=prompt,
                answer=convert_to_text(score.get("prediction")),
                target=right,
                fields=sample.get("sample_metadata") or None,
                answer_tokens=_count_tokens(row),
            )


def _count_tokens(row: JsonObject) -> int | None:
    """The tokens of the last answer, if EvalScope ran with collect_perf."""
    answers = [message for message in row.get("messages") or () if message.get("role") == "assistant"]
    measured = (answers[-1].get("perf_metrics") or {}) if answers else {}
    tokens: int | None = measured.get("output_tokens")
    return tokens


def _read_prompt(row: JsonObject) -> str | None:
    """The prompt: the messages before the first answer, without the ids of each run."""
    if row.get("input") is not None:
        return convert_to_text(row["input"])
    questions = []
    for message in row.get("messages") or ():
        if message.get("role") == "assistant":
            break
        questions.append(message.get("content"))
    return convert_to_text(questions[0] if len(questions) == 1 else questions) if questions else None


reader = Evalscope()
