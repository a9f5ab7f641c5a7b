"""Notes on the samples of two logs, next to their verdict: too few, failed, texts instead of scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from slimgate._system.number_text import format_count
from slimgate.logs.columns import Samples
from slimgate.logs.predictions.codes import TEXT, list_missing
from slimgate.logs.predictions.files import format_examples
from slimgate.logs.rules import prefix_place
from slimgate.plugins.reader import PER_SAMPLE, Log, TaskLog

# The place of a log without tasks.
ALL_SAMPLES = "all samples"
# The largest number of characters of a text, and of the error of a run that failed, that a note quotes.
LONGEST_QUOTE = 120
_LONGEST_ERROR = 300


def describe_surplus(name: str, log: Log, samples: Mapping[str, Samples]) -> list[str]:
    """A line for each filter with more samples than the tool states, and for filters without a sample.

    name: of the task. samples: by filter.
    """
    stated = log.tasks[name].samples
    notes = [
        f"{format_place(name, filter_)}: {_describe_count(log, stated, of_filter)}"
        for filter_, of_filter in samples.items()
        if stated is not None and len(of_filter) > stated
    ]
    if without_samples := [filter_ for filter_ in log.tasks[name].filters if filter_ not in samples]:
        filters = ", ".join(filter_ or "none" for filter_ in without_samples)
        notes.append(f"{name}: the results of {log.shown} have the filter {filters}, but no sample of it")
    return notes


def _describe_count(log: Log, stated: int, samples: Samples) -> str:
    """`logs/base says that 300 samples ran, but has 10`."""
    return f"{log.shown} says that {stated:,} samples ran, but has {len(samples):,}"


def describe_missing_samples(log: Log, task: TaskLog, samples: Samples) -> list[str]:
    """A line if a log has fewer samples than the tool states, and one if it lacks samples that it lists."""
    lines = []
    if task.samples is not None and len(samples) < task.samples:
        lines.append(_describe_count(log, task.samples, samples))
    missing = list_missing(pa.array(task.ids, TEXT), samples.ids)
    if len(missing):
        lines.append(
            f"{log.shown} lists {format_count(len(missing), 'sample', 'samples')} that it does not contain "
            f"({format_examples(missing)})"
        )
    return lines


def format_place(task: str, filter_: str) -> str:
    """`gsm8k (strict)`; a log without tasks has only the filter."""
    return f"{task} ({filter_})".lstrip() if filter_ else task


def describe_all_failed(base: Samples, target: Samples, shown: tuple[str, str]) -> str:
    """`all 15 samples of a.json failed, first error "…"`, for each such run; "" if there is none.

    shown: how messages name the base and the target.
    """
    texts = []
    for name, samples in zip(shown, (base, target), strict=True):
        has_score = any(np.isfinite(scores).any() for scores in samples.scores.values())
        if samples.errors.all() and not has_score:
            error = read_error(samples, 0)
            quote = f', first error "{error[:_LONGEST_ERROR]}{"…" if len(error) > _LONGEST_ERROR else ""}"'
            count = "the only sample" if len(samples) == 1 else f"all {len(samples):,} samples"
            texts.append(f"{count} of {name} failed{quote if error else ''}")
    return "; ".join(texts)


def read_error(samples: Samples, row: int) -> str:
    """Why a sample has no answer, in one line; "" if the log does not say it."""
    failed = samples.quote([row]).get(row)
    return " ".join(str(failed.error or "").split()) if failed is not None else ""


def describe_not_numbers(where: str, base: Samples, target: Samples) -> list[str]:
    """A line for each metric that is never a number in one of the logs, but a list or a text."""
    notes = []
    for metric in sorted({**base.not_numbers, **target.not_numbers}):
        counts = [samples.not_numbers.get(metric, 0) for samples in (base, target)]
        if metric not in base.scores or metric not in target.scores:
            in_base = format_count(counts[0], "sample", "samples")
            text = (
                f"{metric} is not a number in {in_base} of the base and {counts[1]:,} of the target, so "
                "these are not judged"
            )
            notes.append(prefix_place(where, text))
    return notes


def list_metrics(samples: Samples) -> str:
    """`acc, f1`; for a log without numbers, the metrics that are texts or lists, and in how many samples."""
    texts = [
        f"{metric} is not a number in {format_count(count, 'sample', 'samples')}"
        for metric, count in samples.not_numbers.items()
    ]
    reason = f" ({', '.join(texts)})" if texts else ""
    return ", ".join(samples.scores) or f"none{reason}"


def describe_one_sided(where: str, base: Samples, target: Samples) -> list[str]:
    """A line for metrics that only one of the logs has, and one for texts."""
    notes = []
    if metrics := sorted(set(base.scores) ^ set(target.scores)):
        notes.append(prefix_place(where, f"metric {', '.join(metrics)} is in only one of the logs"))
    if texts := [f"{key}s" for key in PER_SAMPLE if (key in base.keys) != (key in target.keys)]:
        text = f"{' and '.join(texts)} are in only one of the logs, so they were not compared"
        notes.append(prefix_place(where, text))
    return notes


def describe_truncated(where: str, base: Samples, target: Samples) -> list[str]:
    """A line if answers were cut off: they are judged by their score."""
    counts = [int(np.count_nonzero(samples.truncated)) for samples in (base, target)]
    if not any(counts):
        return []
    text = (
        f"{format_count(counts[0], 'answer', 'answers')} of the base and {counts[1]:,} of the target were "
        "cut off at a limit; they are judged by their score, and a budget on truncated limits their share"
    )
    return [prefix_place(where, text)]
