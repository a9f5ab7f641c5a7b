"""A verdict as an assertion, for tests that already have the answers of both models."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from slimgate.errors import DataError, MeasureError, SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.message import format_message
from slimgate.judge.metrics import load_metric
from slimgate.judge.near_chance import describe_near_chance, describe_useless_pass
from slimgate.judge.quality import judge_quality
from slimgate.judge.verdict import QualityJudgement
from slimgate.logs.budgets import RANGES, LogBudgets, read_ranges
from slimgate.logs.comparison_lines import UNSTATED_SETTINGS
from slimgate.logs.directions import read_directions
from slimgate.logs.file_budgets import read_budget_tables
from slimgate.logs.find import has_predictions
from slimgate.logs.models import parse_models
from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.pairs import read_pair
from slimgate.logs.rules import Missing, Rules, SameId, check_allowed
from slimgate.logs.runs import parse_choices
from slimgate.logs.same_run import check_sides
from slimgate.logs.several_runs import EPOCHS_OF_ONE_RUN, ONE_RUN, read_side
from slimgate.logs.suite import LOGS, read_log_suite
from slimgate.logs.suite_run import judge_log_suite, name_suite_keys
from slimgate.logs.verdicts import judge_logs
from slimgate.outcomes import ClassOutcomes, Outcomes, align_strays
from slimgate.record.run import VariantRecord
from slimgate.results.base import Verdict, has_run_ending_budget


def assert_within(
    teacher: Outcomes | str | Path | Sequence[str | Path],
    variant: Outcomes | str | Path | Sequence[str | Path],
    *,
    metric: str | None = None,
    drop_points: float | None = None,
    equivalent_points: float | None = None,
    seed: int = 0,
    allow: Collection[str] = (),
    missing: Missing = "fail",
    labels: Sequence[str] = (),
    positive: str | None = None,
    higher_is_better: Sequence[str] = (),
    lower_is_better: Sequence[str] = (),
    run: str | Mapping[str, str] | None = None,
    model: str | Mapping[str, str] | None = None,
    same_id: SameId = "fail",
    ranges: Mapping[str, Sequence[float]] | None = None,
) -> QualityJudgement:
    """Asserts that the variant is at most `drop_points` percentage points worse than the teacher.

    The rows are a sample: the assertion holds if the one-sided 95 % bound of the drop is within the budget.
    What the command prints as a warning is a Python warning.

    Args:
        teacher: its answers as Outcomes (see `class_outcomes`), or a prediction file or log as `slimgate
            judge` reads it. A list of logs is several runs of a model, which are crossed with the samples.
        variant: the same of the variant, on the same rows.
        metric: one of slimgate's, "hub:NAME", or your own "package.module:object"; default accuracy. For
            logs a pattern of tasks, metrics or task/metric; default all, each with this budget.
        drop_points: default 1.0, or none if equivalent_points is set.
        equivalent_points: the largest change in percentage points, worse or better; each side is tested at
            5 %.
        seed: of the random weights that some metrics need.
        allow: for logs, as --allow of `slimgate judge`.
        missing: for logs, as --missing.
        labels: for prediction files, as --labels.
        positive: for prediction files, as --positive.
        higher_is_better: for logs, as --higher-is-better.
        lower_is_better: for logs, as --lower-is-better.
        run: for logs, "latest", or by side: {"base": "2026-01-01T", "target": "latest"}.
        model: for logs, as --model, or by side.
        same_id: for logs, as --same-id.
        ranges: for logs, as --range: {"grade": (1, 10)}.

    Returns:
        The judgement; for logs, the one with the largest drop, or change under equivalent_points.

    Raises:
        AssertionError: with the verdict's line, for FAIL and for INCONCLUSIVE (too few rows; the line says
            how many would be enough).
        SuiteError: for a budget or a metric that does not exist, and for an option of other files.
        DataError: for files that do not match.
        MeasureError: for outcomes of other rows.
    """
    __tracebackhide__ = True
    if metric is not None and not isinstance(metric, str):
        raise SuiteError(f"assert_within: metric={metric!r} was given, expected one name or pattern as text")
    budgets = _list_budgets(drop_points, equivalent_points)
    of_logs = {
        "missing": missing if missing != "fail" else None,
        "allow": allow,
        "higher_is_better": higher_is_better,
        "lower_is_better": lower_is_better,
        "run": run,
        "model": model,
        "same_id": same_id if same_id != "fail" else None,
        "ranges": ranges,
    }
    of_predictions = {"labels": labels, "positive": positive}
    if isinstance(teacher, Outcomes) or isinstance(variant, Outcomes):
        _refuse_options(of_logs, "logs")
        _refuse_options(of_predictions, "prediction files")
        return _assert_outcomes_within(teacher, variant, metric, budgets, seed)
    runs = _list_runs(teacher), _list_runs(variant)
    if max(map(len, runs)) == 1 and all(has_predictions(paths[0]) for paths in runs):
        _refuse_options(of_logs, "logs")
        pair = read_pair(runs[0][0], runs[1][0], ColumnNames(), labels=labels, positive=positive)
        doubt = describe_near_chance(pair.teacher)
        near_chance = [f"the teacher is near chance: {doubt}"] if doubt else []
        _issue_warnings([*pair.warnings, *near_chance], stacklevel=3)
        return _assert_outcomes_within(pair.teacher, pair.variant, metric, budgets, seed)
    _refuse_options(of_predictions, "prediction files")
    check_allowed(allow)
    rules = Rules(
        frozenset(allow),
        missing,
        directions=read_directions(higher_is_better, lower_is_better),
        runs=parse_choices(run),
        models=parse_models(model),
        same_id=same_id,
    )
    try:
        return _assert_logs_within(*runs, metric, budgets, seed, rules, ranges or {})
    except DataError as error:
        raise DataError(_name_arguments(str(error))) from None


def _list_budgets(drop_points: float | None, equivalent_points: float | None) -> tuple[QualityBudget, ...]:
    if drop_points is None and equivalent_points is None:
        drop_points = 1.0
    limits: dict[str, float | None] = {
        "drop_points": drop_points,
        "equivalent_points": equivalent_points,
    }
    return tuple(QualityBudget(kind, limit) for kind, limit in limits.items() if limit is not None)


def _refuse_options(options: Mapping[str, object], kind: str) -> None:
    """Raises SuiteError for an option with a value. kind: of the files that alone have such options."""
    for name, value in options.items():
        if value:
            raise SuiteError(f"assert_within: {name}={value!r} is only for {kind}; leave it out")


def assert_budgets(
    base: str | Path | Sequence[str | Path] | None,
    target: str | Path | Sequence[str | Path],
    budgets: Mapping[str, object] | str | Path,
    *,
    ranges: Mapping[str, Sequence[float]] | None = None,
    **options: object,
) -> VariantRecord:
    """Asserts that the target's files hold all budgets: predictions, logs, load tests or KL logs.

    Paths are relative to the working folder. What the command prints as a note is a Python warning.

    Args:
        base: a file or folder as `slimgate judge` reads it, for logs and tables also a list of several runs,
            which are crossed with the samples. None for a KL log of llama.cpp, which holds both models.
        target: the same of the model to compare.
        budgets: the content of a table [budgets], such as {"latency": {"speedup_min": 1.2}}, or a TOML file
            that has one.
        ranges: for logs, as [ranges] of a suite: {"answer_length": (0, 2048)}. They replace those of the
            file.
        options: other keys of `[logs]` in a suite, such as repeat="base2.json", allow=["prompt"] or
            on_inconclusive="warn".

    Returns:
        The target in the form of run.json.

    Raises:
        AssertionError: with the line of each budget that ends a run.
        SuiteError: for a budget that the files cannot be judged by, or an unknown option.
        DataError: for files that do not match.
    """
    __tracebackhide__ = True
    shown = "assert_budgets"
    if isinstance(budgets, Mapping):
        tables: Mapping[str, object] = {"budgets": budgets}
    elif isinstance(budgets, str | Path):
        shown = str(budgets)
        tables = read_budget_tables(Path(budgets))
    else:
        raise SuiteError(f"assert_budgets: {budgets!r} was given as budgets, expected a table or a TOML file")
    if ranges is not None:
        tables = {**tables, RANGES: ranges}
    if wrong := sorted({"base", "targets"} & options.keys()):
        raise SuiteError(f"{shown}: {wrong[0]} was given; the files are arguments of assert_budgets")
    files: dict[str, object] = {"targets": {"target": [str(path.resolve()) for path in _list_runs(target)]}}
    if base is not None:
        files["base"] = [str(path.resolve()) for path in _list_runs(base)]
    if (repeat := options.get("repeat")) is not None:
        files["repeat"] = str(Path(cast("str | Path", repeat)).resolve())
    suite = read_log_suite({**tables, LOGS: {**options, **files}}, Path.cwd() / "assert_budgets", shown)
    judged = judge_log_suite(suite).targets["target"]
    _issue_warnings(judged.notes, stacklevel=3)
    lines = [
        str(result.facts.message)
        for result in judged.results()
        if has_run_ending_budget(result.facts.budgets)
    ]
    if lines:
        raise AssertionError("\n".join(lines))
    return judged


def _issue_warnings(notes: Sequence[str], *, stacklevel: int) -> None:
    """A Python warning for each note, without those of every pair of single runs or of a tool's logs."""
    for note in notes:
        if note not in (ONE_RUN, EPOCHS_OF_ONE_RUN, UNSTATED_SETTINGS):
            warnings.warn(note, stacklevel=stacklevel)


def _name_arguments(message: str) -> str:
    """A message with the arguments of `assert_within` in place of the options of `slimgate judge`."""
    message = name_suite_keys(message).replace("[logs] ", "")
    message = re.sub(r"\[ranges\] (\S+) = (\[LOW, HIGH\])", r'ranges = {"\1": \2}', message)
    return re.sub(r"\b(base|target|repeat) = ", r'"\1": ', message)


def _list_runs(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """The paths of the runs of a side. Raises SuiteError for an empty list."""
    listed = [paths] if isinstance(paths, str | Path) else paths
    if not isinstance(listed, Sequence) or not all(isinstance(path, str | Path) for path in listed):
        raise SuiteError(f"{paths!r} was given, expected the path of a file or folder, or a list of paths")
    runs = [Path(path) for path in listed]
    if not runs:
        raise SuiteError("an empty list of runs was given, expected the path of at least one")
    return runs


def _assert_outcomes_within(
    teacher: object,
    variant: object,
    metric: str | None,
    budgets: Sequence[QualityBudget],
    seed: int,
) -> QualityJudgement:
    __tracebackhide__ = True
    if not (isinstance(teacher, Outcomes) and isinstance(variant, Outcomes)):
        actual = f"{type(teacher).__name__} and {type(variant).__name__}"
        raise SuiteError(f"assert_within: {actual} was given, expected two Outcomes or two paths")
    if isinstance(teacher, ClassOutcomes) and isinstance(variant, ClassOutcomes):
        teacher, variant = _align_classes(teacher, variant)
    judged = judge_quality(load_metric(metric or "accuracy"), teacher, variant, budgets, seed=seed)
    if judged.verdict is not Verdict.PASS:
        raise AssertionError(format_message("variant", judged))
    if reason := describe_useless_pass(judged, teacher, variant):
        _issue_warnings([f"the variant passes near chance: {reason}"], stacklevel=4)
    return judged


def _assert_logs_within(
    base: Sequence[Path],
    target: Sequence[Path],
    metric: str | None,
    budgets: tuple[QualityBudget, ...],
    seed: int,
    rules: Rules,
    ranges: Mapping[str, Sequence[float]],
) -> QualityJudgement:
    __tracebackhide__ = True
    log_budgets = LogBudgets(
        (("*" if metric is None else metric, budgets),),
        measured=() if metric is None else (metric,),
        ranges=read_ranges({RANGES: ranges}, "assert_within"),
    )
    sides = read_side(base), read_side(target)
    if not sides[0].models:
        check_sides(base, target)
    verdicts = judge_logs(*sides, log_budgets, rules, seed=seed)
    _issue_warnings(verdicts.notes, stacklevel=4)
    comparisons = verdicts.comparisons
    distinct = [comparison.judged for comparison in comparisons if comparison.same_as is None]
    wrong = [judged for judged in distinct if judged.verdict is not Verdict.PASS]
    if wrong:
        raise AssertionError("\n".join(format_message(target[0].stem, judged) for judged in wrong))
    return comparisons[0].judged


def _align_classes(teacher: ClassOutcomes, variant: ClassOutcomes) -> tuple[ClassOutcomes, ClassOutcomes]:
    """Both over the strays of both. Raises MeasureError if labels or the positive label differ."""
    for name in sorted(set(teacher.label_set) ^ set(variant.label_set)):
        raise MeasureError(
            f'assert_within: only one of the two has class "{name}"; '
            "give class_outcomes the same classes for both"
        )
    stated = {outcomes.positive for outcomes in (teacher, variant)} - {None}
    if len(stated) > 1:
        raise MeasureError("assert_within: the two have different positive labels; give both the same")
    positive = next(iter(stated), None)
    before, after = align_strays(teacher, variant)
    return replace(before, positive=positive), replace(after, positive=positive)
