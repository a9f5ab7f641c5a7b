"""`slimgate judge` on prediction files: reads, judges, and prints a table with its lines."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from tabulate import tabulate

from slimgate._system.escape import escape_invisible, write_lines
from slimgate._system.number_text import format_fixed, format_int, format_percent
from slimgate.cli.judge.arguments import ROLES, name_targets
from slimgate.cli.judge.budgets import read_prediction_budgets
from slimgate.cli.judge.ending import finish
from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import list_point_limits
from slimgate.logs.file_budgets import FileBudgets
from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.judge import JudgedPair, JudgedPredictions, judge_pair
from slimgate.logs.predictions.pairs import read_pair
from slimgate.record.verdicts import RunVerdict
from slimgate.report.figures import format_drop, format_limits
from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.counts import format_verdict


def judge_prediction_files(options: argparse.Namespace) -> int:
    """Judges each target and prints. Raises SlimgateError for wrong input."""
    if options.explain_environment:
        raise SuiteError(
            "--explain-environment was given with prediction files, which do not record how they were made"
        )
    if options.missing != "fail":
        raise SuiteError(
            "--missing was given with prediction files, which must have the same ids; add --format table to "
            "judge them as tables of scores"
        )
    paths = name_targets(options.variants)
    budgets = read_prediction_budgets(options, paths)
    pairs = {name: _judge_file(options, name, path, budgets[name]) for name, path in paths.items()}
    judged = JudgedPredictions(pairs, options.teacher, options.variants)
    if options.json:
        warnings = dict.fromkeys(line for pair in pairs.values() for line in pair.warnings)
        write_lines(sys.stderr, (f"warning: {line}" for line in warnings))
    return finish(
        options,
        judged,
        lambda: "\n\n".join(
            format_predictions(pair, judged.judge_target(name)) for name, pair in pairs.items()
        ),
    )


def _judge_file(options: argparse.Namespace, name: str, path: Path, budgets: FileBudgets) -> JudgedPair:
    stated = {role: column for role in ROLES if (column := getattr(options, f"{role}_column")) is not None}
    pair = read_pair(
        options.teacher,
        path,
        ColumnNames(**stated, by_user=frozenset(stated)),
        labels=options.labels or (),
        positive=options.positive,
    )
    return judge_pair(
        name,
        (options.teacher, path),
        pair,
        budgets,
        metrics=options.metric or (),
        seed=options.seed,
        on_inconclusive=options.on_inconclusive,
    )


def format_predictions(judged: JudgedPair, run_verdict: RunVerdict) -> str:
    """The table, a line for each metric, what changed, warnings, and how many budgets hold."""
    behaviour = judged.behaviour
    blocks = [
        _format_table(judged),
        _join_texts(metric.line for metric in judged.metrics.values()),
        _join_texts([behaviour.message] if behaviour.message and behaviour.verdict else []),
        _describe_changes(behaviour),
        _join_texts(f"warning: {line}" for line in judged.all_warnings),
        format_verdict(run_verdict),
    ]
    return "\n\n".join(block for block in blocks if block)


def _join_texts(texts: Iterable[str]) -> str:
    """One line for each text, even if the data has control characters."""
    return "\n".join(escape_invisible(text) for text in texts)


def _format_table(judged: JudgedPair) -> str:
    rows = [
        {
            "metric": escape_invisible(name),
            "teacher": format_fixed(metric.judged.teacher, 3),
            "variant": format_fixed(metric.judged.value, 3),
            "drop, points [90 %]": format_drop(
                metric.judged.drop_points,
                metric.judged.interval,
                list_point_limits(metric.judged.budgets),
            ),
            "budget": format_limits(metric.judged.budgets),
            "verdict": metric.judged.verdict.value if metric.judged.verdict else "not gated",
        }
        for name, metric in judged.metrics.items()
    ]
    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)


def _describe_changes(behaviour: BehaviourFacts) -> str:
    flips = behaviour.flips
    assert flips is not None  # predictions are right or wrong
    lost, won = format_int(flips.right_to_wrong), format_int(flips.wrong_to_right)
    return (
        f"flips: {lost} rows from right to wrong, {won} from wrong to right; "
        f"{format_int(flips.changed)} answers changed, agreement {format_percent(behaviour.agreement, 2)}"
    )
