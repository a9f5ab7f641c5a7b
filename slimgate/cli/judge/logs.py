"""`slimgate judge` on logs: reads, judges, prints, and writes the record if --report asks for it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slimgate.cli.judge.arguments import (
    OF_LOGS,
    OF_PREDICTIONS,
    format_flag,
    list_changed,
    make_name,
    name_targets,
)
from slimgate.cli.judge.environment import add_environments, explain_environment
from slimgate.errors import SuiteError
from slimgate.judge.family import MOST_ANALYSES
from slimgate.logs.answer_columns import AnswerChecks, read_answer_checks
from slimgate.logs.answers import AnswerBudgets, judge_answer_files
from slimgate.logs.budgets import make_drop_budgets, parse_range_options
from slimgate.logs.directions import read_directions
from slimgate.logs.find import has_predictions, read_any_log
from slimgate.logs.models import choose_models, parse_models
from slimgate.logs.rules import Rules, check_allowed
from slimgate.logs.runs import TARGET, choose_runs, parse_choices
from slimgate.logs.same_run import LogFiles
from slimgate.logs.slice_budgets import read_slices
from slimgate.plugins.environments import EnvironmentChanges

if TYPE_CHECKING:
    from pathlib import Path

    from slimgate.plugins.reader import Log


def has_log_files(options: argparse.Namespace) -> bool:
    """Whether the files are logs, and not tables of labels and predictions."""
    if options.format is not None or _has_several_runs(options):
        return True
    if any(list_changed(options, OF_LOGS)):
        return True
    stated = any(list_changed(options, OF_PREDICTIONS))
    return not all(has_predictions(path, stated=stated) for path in (options.teacher, *options.variants))


def _has_several_runs(options: argparse.Namespace) -> bool:
    return len(options.base_runs) > 1 or any(len(paths) > 1 for paths in options.target_runs)


def judge_log_files(options: argparse.Namespace) -> int:
    """Judges each target and prints. Raises SlimgateError for wrong input."""
    _refuse_prediction_options(options)
    base = read_any_log(options.teacher, options.format)
    if not base.loads:
        return _judge_answers(options)
    if _has_several_runs(options):
        raise SuiteError(
            f"{options.teacher} is a load test, which can only be judged with one run per side; give a "
            "second run of the base with --repeat"
        )
    from slimgate.cli.judge.tool_files import judge_load_files

    return judge_load_files(options, base)


def _refuse_prediction_options(options: argparse.Namespace) -> None:
    """Raises SuiteError if an option was given that only prediction files have."""
    stated = list(list_changed(options, OF_PREDICTIONS))
    if not stated:
        return
    of_logs = list(list_changed(options, OF_LOGS))
    files = (options.teacher, *options.variants)
    if not of_logs or not all(has_predictions(path, stated=True) for path in files):
        raise SuiteError(
            f"{format_flag(stated[0])} was given with logs, but is only for prediction files; leave it out"
        )
    if "slices" in of_logs:
        raise SuiteError(
            f"--slice and {format_flag(stated[0])} were given: with --slice, prediction files are read "
            "as tables, whose columns have the names id, label, prediction and group; rename the "
            f"columns in the files, and leave {format_flag(stated[0])} out"
        )
    raise SuiteError(
        f"{format_flag(of_logs[0])} was given with prediction files, but is only for logs; leave it out"
    )


def _judge_answers(options: argparse.Namespace) -> int:
    """Judges logs of answers."""
    from slimgate.cli.judge.ending import finish
    from slimgate.cli.judge.log_output import format_log_verdicts, list_details

    rules = _read_rules(options)
    targets = _name_log_targets(options.variants, rules)
    changes: dict[str, EnvironmentChanges] = {}

    def explain(name: str, base: Log, target: Log) -> None:
        if options.explain_environment:
            sides = choose_runs(*choose_models(base, target, rules.models), rules.runs)
            changes[name] = explain_environment(options, name, *sides)

    files = judge_answer_files(
        LogFiles(
            options.base_runs,
            dict(zip(targets, options.target_runs, strict=True)),
            options.repeat,
            options.format,
        ),
        _read_budgets(options, targets),
        rules,
        seed=options.seed,
        on_inconclusive=options.on_inconclusive,
        explain=explain,
    )
    details: dict[str, dict[str, Any]] = list_details(files)
    if options.explain_environment:
        details = add_environments(details, changes)
    return finish(options, files, lambda: format_log_verdicts(files), details)


def _name_log_targets(paths: Sequence[Path], rules: Rules) -> dict[str, Path]:
    """The targets by name. If `--model` chooses the model of a single target, this is its name."""
    if len(paths) == 1 and (model := rules.models.get(TARGET)) is not None:
        return {make_name(model): paths[0]}
    return name_targets(paths)


def _read_rules(options: argparse.Namespace) -> Rules:
    """How the logs are paired and compared. Raises SuiteError or DataError for a wrong option."""
    check_allowed(options.allow or ())
    return Rules(
        allow=frozenset(options.allow or ()),
        missing=options.missing,
        analyses=_check_analyses(options.analyses),
        directions=read_directions(options.higher_is_better, options.lower_is_better),
        runs=parse_choices(options.runs),
        same_id=options.same_id,
        models=parse_models(options.models),
        slices=read_slices(options.slices or (), options.analyses),
        checks=_read_checks(options),
    )


def _read_checks(options: argparse.Namespace) -> AnswerChecks | None:
    """How answers are checked; None if no option asks for it."""
    stated = (options.tokenizer, options.refusals, options.length_ratio_max, options.length_ratio_min)
    if not options.answers and all(option is None for option in stated):
        return None
    return read_answer_checks(options.tokenizer, options.refusals)


def _check_analyses(number: int) -> int:
    if not 1 <= number <= MOST_ANALYSES:
        raise SuiteError(f"--analyses {number}: expected 1 to {MOST_ANALYSES}")
    return number


def _read_budgets(options: argparse.Namespace, targets: Mapping[str, Path]) -> Mapping[str, AnswerBudgets]:
    """By target: the budgets of the file, or those of the command line, with its metrics and ranges."""
    metrics = tuple(options.metric or ())
    ranges = parse_range_options(options.range or [])
    if options.budgets is None:
        stated = make_drop_budgets(
            metrics,
            options.drop_points or [],
            options.pooled_points,
            options.equivalent_points or [],
            of_slices=options.slice_points,
        ).with_length(options.length_ratio_max, options.length_ratio_min)
        return dict.fromkeys(targets, AnswerBudgets(replace(stated, ranges=ranges)))
    # Only a file of budgets needs the code that reads suites.
    from slimgate.cli.judge.budgets import read_budgets_of_targets
    from slimgate.logs.file_budgets import ANSWERS

    return {
        name: AnswerBudgets(
            replace(budgets.answers, measured=metrics, ranges=(*budgets.answers.ranges, *ranges)),
            budgets.notes,
            budgets.list_switched_off,
        )
        for name, budgets in read_budgets_of_targets(options, ANSWERS, targets).items()
    }
