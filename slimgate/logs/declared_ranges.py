"""The range of scores: its ends, and whether the scores of both logs are inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from slimgate.errors import DataError
from slimgate.judge.named_scores import (
    Range,
    find_rows_outside,
    format_range,
    has_different_scales,
    is_bounded_range,
)
from slimgate.judge.pass_k import PassMetric
from slimgate.logs.budgets import ComparisonKey
from slimgate.logs.score_pairs import PairedScores
from slimgate.outcomes import Floats, Texts
from slimgate.plugins.reader import Log


class ScoreEnds(NamedTuple):
    """The range of a metric's scores; None if it is not known. is_declared: by the user."""

    ends: Range | None
    is_declared: bool


def check_scores(
    comparison: ComparisonKey,
    ids: Texts,
    scores: PairedScores,
    score_ends: ScoreEnds,
    *,
    higher_is_better: bool,
) -> None:
    """Raises DataError for scores of two scales, and for a score outside the range."""
    ends = score_ends.ends
    means = float(scores.base.mean()), float(scores.target.mean())
    unending = ends is not None and not is_bounded_range(ends)
    # without an upper end a bad model may be this far off: it fails, and never passes
    is_ruined = unending and (means[0] > means[1]) == higher_is_better
    both_means = ("base", scores.base), ("target", scores.target)
    if not is_ruined and has_different_scales(scores.base, scores.target, ends):
        shown = " and ".join(
            f"{who} {float(values.min()):.4g} to {float(values.max()):.4g}" for who, values in both_means
        )
        raise DataError(
            f"{comparison.name}: the logs have scores of two scales ({shown}), so they cannot be compared; "
            "write both as shares or both as percent"
        )
    if ends is None:
        return
    is_pass = PassMetric.parse(comparison.metric) is not None
    for who, values in both_means if is_pass else list_scores(scores):
        outside = find_rows_outside(values, ends)
        if len(outside):
            at = int(outside[0])
            source = (
                "that --range or [ranges] declare"
                if score_ends.is_declared
                else "that its name or its log says; if it has another, write --range "
                f"{comparison.metric}=LOW:HIGH"
            )
            raise DataError(
                f"{comparison.name}: sample {ids[at]} of the {who} has a score of {values[at]:g}, outside of "
                f"the range {format_range(ends)} {source}"
            )


def list_scores(scores: PairedScores) -> list[tuple[str, Floats]]:
    """The (rows,) scores of each run, with the side of the run."""
    if scores.runs is None:
        return [("base", scores.base), ("target", scores.target)]
    return [
        *(("base", line) for line in scores.runs.base),
        *(("target", line) for line in scores.runs.target),
    ]


def find_declared_ranges(task: str, base: Log, target: Log) -> Mapping[str, Range]:
    """The range that the logs declare, by metric. Raises DataError if they declare two."""
    before, after = base.tasks[task].ranges, target.tasks[task].ranges
    for metric in before:
        if metric in after and tuple(before[metric]) != tuple(after[metric]):
            raise DataError(
                f"{task}: {metric} is from {format_range(before[metric])} in {base.shown} and from "
                f"{format_range(after[metric])} in {target.shown}, so they cannot be compared"
            )
    return {**after, **before}
