"""The output of `slimgate judge` for predictions: a table with its lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tabulate import tabulate

from slimgate._system.escape import visible
from slimgate.logs.predictions.judge import JudgedPair
from slimgate.record.verdicts import RunVerdict
from slimgate.report.figures import count, format_drop, format_limits, percent, to_fixed
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.counts import format_verdict

if TYPE_CHECKING:
    pass


def as_text(judged: JudgedPair, run_verdict: RunVerdict) -> str:
    """The table, a line for each metric, what changed, warnings, and how many budgets hold."""
    behaviour = judged.behaviour
    blocks = [
        _table(judged),
        _lines(metric.line for metric in judged.metrics.values()),
        _lines([behaviour.message] if behaviour.message and behaviour.verdict else []),
        _changes(behaviour),
        _lines(f"warning: {line}" for line in judged.all_warnings),
        format_verdict(run_verdict),
    ]
    return "\n\n".join(block for block in blocks if block)


def _lines(texts: Iterable[str]) -> str:
    """One line for each text, even if the data has control characters."""
    return "\n".join(visible(text) for text in texts)


def _table(judged: JudgedPair) -> str:
    rows = [
        {
            "metric": visible(name),
            "teacher": to_fixed(metric.judged.teacher, 3),
            "variant": to_fixed(metric.judged.value, 3),
            "drop, points [90 %]": format_drop(
                metric.judged.drop_points, metric.judged.interval, metric.judged.budgets
            ),
            "budget": format_limits(metric.judged.budgets),
            "verdict": metric.judged.verdict.value if metric.judged.verdict else "not gated",
        }
        for name, metric in judged.metrics.items()
    ]
    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)


def _changes(behaviour: BehaviourFacts) -> str:
    flips = behaviour.flips
    assert flips is not None  # predictions are right or wrong
    lost, won = count(flips.right_to_wrong), count(flips.wrong_to_right)
    return (
        f"flips: {lost} rows from right to wrong, {won} from wrong to right; "
        f"{count(flips.changed)} answers changed, agreement {percent(behaviour.agreement, 2)}"
    )
