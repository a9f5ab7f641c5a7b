"""A suite that judges files of other tools: [logs] names them, [budgets] and [pooled] limit losses.

[logs]
base = "../logs/base"
targets = { int4 = "../logs/int4" }
[budgets]
"*" = { drop_points = 2.0 }
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from slimgate.errors import DataError, SuiteError
from slimgate.judge.budget_tables import TOKEN_TABLES
from slimgate.logs.answer_columns import AnswerChecks, read_answer_checks
from slimgate.logs.budgets import POOLED, RANGES
from slimgate.logs.directions import read_directions
from slimgate.logs.file_budgets import (
    ANSWERS,
    KL,
    LOADS,
    PREDICTIONS,
    FileBudgets,
    FileKind,
    read_file_budgets,
)
from slimgate.logs.find import has_predictions
from slimgate.logs.load_tests import check_allowed_in_loads
from slimgate.logs.models import parse_models
from slimgate.logs.predictions.columns import ColumnNames, Role
from slimgate.logs.rules import Missing, Rules, SameId, check_allowed
from slimgate.logs.runs import parse_choices
from slimgate.logs.slice_budgets import read_slices
from slimgate.plugins.loading import import_from, load
from slimgate.plugins.params import VARIANT_NAME, Table, suite_path
from slimgate.results.base import OnInconclusive
from slimgate.results.checks import LATENCY, MEASUREMENTS, TEACHER
from slimgate.suite.errors import convert_validation_error, find_value, make_suite_error
from slimgate.suite.file import parse_toml
from slimgate.suite.schema import DIALECT, SITE, make_limits_schema

if TYPE_CHECKING:
    from slimgate.plugins.base import Json


LOGS = "logs"

_KINDS: Mapping[str, FileKind] = {
    "answers": ANSWERS,
    "predictions": PREDICTIONS,
    "load_tests": LOADS,
    "kl_logs": KL,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
# The keys of [logs] that go with files of each kind; logs of answers take all others.
_COMMON_KEYS = frozenset({"kind", "title", "targets", "on_inconclusive", "seed"})
_PREDICTION_KEYS = frozenset({"columns", "labels", "positive"})
_KEYS: Mapping[FileKind, frozenset[str]] = {
    PREDICTIONS: _COMMON_KEYS | {"base"} | _PREDICTION_KEYS,
    LOADS: _COMMON_KEYS | {"base", "repeat", "format", "allow"},
    KL: _COMMON_KEYS | {"format"},
}


# One log, or several runs of one model.
Paths = str | Annotated[list[str], Field(min_length=1)]


class LogsTable(Table):
    """Paths are from the folder of the file."""

    title: str | None = None
    """Title in the reports; default: the names of base and targets."""
    kind: Literal["answers", "predictions", "load_tests", "kl_logs"] | None = None
    """What the files are; default: detected from their content and the budgets."""
    base: Paths | None = None
    """The log of the base: a file, a folder, a kept baseline, or a list of several runs. Leave base out for
    KL logs, which contain base and target."""
    targets: dict[Annotated[str, Field(pattern=VARIANT_NAME)], Paths] = Field(min_length=1)
    """The logs of the models to judge, by name; each is one log or a list of several runs."""
    repeat: str | None = None
    """A second log of the base, to measure how much its scores change from run to run."""
    format: str | None = None
    """Format of all logs; default: detected from their content."""
    allow: list[str] = Field(default_factory=list)
    """What the logs may differ in, as `--allow` of `slimgate judge`."""
    missing: Missing = "fail"
    """What happens to samples without a score in one log or in both: an error ("fail"), they are left out
    ("drop"), or a sample that only the target lacks gets the worst score and the others are left out
    ("as-wrong")."""
    run: str | dict[str, str] | None = None
    """For logs with several runs: the run to judge, as in `--run`; or a table with a run for `base`, `target`
    and `repeat`."""
    model: str | dict[str, str] | None = None
    """For logs with answers of several models: the model to judge, as in `--model`; or a table with a model
    for `base`, `target` and `repeat`."""
    same_id: SameId = "fail"
    """Meaning of several rows with the same id: an error ("fail"), repeats of a sample within a run
    ("epochs"), or separate runs ("runs")."""
    higher_is_better: list[str] = Field(default_factory=list)
    """Metrics, or patterns of metrics, that are better when higher; required if neither the log nor a
    metric's name shows the direction."""
    lower_is_better: list[str] = Field(default_factory=list)
    """Metrics, or patterns of metrics, that are better when lower; required if neither the log nor a metric's
    name shows the direction."""
    slices: list[str] = Field(default_factory=list)
    """Fields of the samples; slimgate also judges the samples separately for each value of such a field, as
    with `--slice`."""
    answers: bool = False
    """true: also compare how long the answers are, and which are truncated, empty or refusals. A budget on
    one of these has the same effect."""
    tokenizer: str | None = None
    """A tokenizer.json, or its folder, that counts the tokens of answers if the logs have no such counts."""
    refusals: str | None = None
    """How to recognize refusals: a file with regular expressions, which slimgate adds to its own; or, instead
    of them, your function of an answer, "package.module:function"."""
    on_inconclusive: OnInconclusive = "fail"
    """What happens if a budget is INCONCLUSIVE: "fail", or "warn" and pass."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap's random weights."""
    columns: dict[Role, str] = Field(default_factory=dict)
    """For prediction files: the columns that are not called id, label, prediction and group."""
    labels: list[str] = Field(default_factory=list)
    """For prediction files: all labels of the task; if probability columns are numbered, in the order of
    their numbers. A prediction that is none of the labels counts as wrong."""
    positive: str | None = None
    """For prediction files: which of two labels is the positive label, for precision, recall and F1."""

    @property
    def has_prediction_keys(self) -> bool:
        """Whether a key was given that prediction files alone have."""
        return bool(_PREDICTION_KEYS & self.model_fields_set)

    def make_column_names(self) -> ColumnNames:
        """The columns of prediction files."""
        return ColumnNames(**self.columns, by_user=frozenset(self.columns))


@dataclass(frozen=True)
class LogSuite:
    """A suite of logs, read from its file.

    shown: the file as messages name it. kind: what files its budgets are for. base_runs, target_runs, repeat:
    paths relative to the working folder; base_runs: empty for KL logs, which hold both models. tables: of the
    file, without [logs]. budgets: by target.
    """

    path: Path
    shown: str
    kind: FileKind
    table: LogsTable
    base_runs: Sequence[Path]
    target_runs: Mapping[str, Sequence[Path]]
    repeat: Path | None
    tables: Mapping[str, object]
    budgets: Mapping[str, FileBudgets]
    rules: Rules

    def read_budgets_as(self, kind: FileKind) -> Mapping[str, FileBudgets]:
        """The budgets by target, for files that are of this kind. Raises SuiteError."""
        return _read_budgets(self.tables, kind, [*self.target_runs], self.shown)

    @property
    def base(self) -> Path | None:
        """The first run of the base; None for KL logs."""
        return self.base_runs[0] if self.base_runs else None

    @property
    def targets(self) -> Mapping[str, Path]:
        """The first run of each target."""
        return {name: paths[0] for name, paths in self.target_runs.items()}


def load_log_suite(path: Path, shown: str) -> LogSuite:
    """Reads the suite file, and of the logs only whether the base holds predictions. Raises SuiteError."""
    with import_from(path.absolute().parent):
        return read_log_suite(parse_toml(path, shown), path, shown)


def read_log_suite(data: Mapping[str, object], path: Path, shown: str) -> LogSuite:
    """The suite described by data, the content of the file; see `load_log_suite`. Raises SuiteError."""
    tables = {key: value for key, value in data.items() if key != LOGS}
    table = _read_table(data, shown)
    try:
        base_runs = [] if table.base is None else _make_relative_paths(path, table.base, shown)
        target_runs = {
            name: _make_relative_paths(path, texts, shown) for name, texts in table.targets.items()
        }
        _check_distinct(target_runs)
        several = max(len(paths) for paths in (base_runs, *target_runs.values())) > 1
        kind = _find_kind(base_runs, table, tables, several=several)
        _check_base(base_runs, kind)
        if table.format is not None:
            load("log", table.format)
        (check_allowed_in_loads if kind == LOADS else check_allowed)(table.allow)
        rules = _read_rules(table, path, shown)
    except DataError as error:
        raise SuiteError(f"{shown} [logs] {str(error).removeprefix('--')}") from None
    except SuiteError as error:
        raise SuiteError(f"{shown} [logs]: {error}") from None
    _check_keys(table, kind, shown, several=several)
    return LogSuite(
        path=path,
        shown=shown,
        kind=kind,
        table=table,
        base_runs=base_runs,
        target_runs=target_runs,
        repeat=None if table.repeat is None else _make_relative_path(path, table.repeat, shown),
        tables=tables,
        budgets=_read_budgets(tables, kind, [*target_runs], shown),
        rules=rules,
    )


def _read_table(data: Mapping[str, object], shown: str) -> LogsTable:
    try:
        table = LogsTable.model_validate(data[LOGS])
    except ValidationError as error:
        if isinstance(targets := find_value(data, (LOGS, "targets")), str):
            problem = (
                f'"{targets}" was given, expected a table of names and paths: targets = '
                f'{{ int4 = "{targets}" }}'
            )
            raise make_suite_error(shown, (LOGS, "targets"), data, problem) from None
        raise convert_validation_error(error, shown, data, (LOGS,)) from None
    if TEACHER in table.targets:
        raise SuiteError(
            f"{shown} [logs] targets.{TEACHER}: the report uses this name for the base; give another name"
        )
    return table


def _read_rules(table: LogsTable, path: Path, shown: str) -> Rules:
    return Rules(
        frozenset(table.allow),
        table.missing,
        directions=read_directions(table.higher_is_better, table.lower_is_better),
        runs=parse_choices(table.run),
        models=parse_models(table.model),
        same_id=table.same_id,
        slices=read_slices(table.slices),
        checks=_read_checks(table, path, shown),
    )


def _check_distinct(target_runs: Mapping[str, Sequence[Path]]) -> None:
    """Raises SuiteError for a log of two targets. The base is compared with each target when it is read."""
    names: dict[Path, str] = {}
    for name, paths in target_runs.items():
        for path in paths:
            if (other := names.setdefault(path.resolve(), name)) != name:
                raise SuiteError(
                    f"targets.{name}: {path.as_posix()} is the log of targets.{other} too; give each "
                    "target its own log"
                )


def _read_checks(table: LogsTable, path: Path, shown: str) -> AnswerChecks | None:
    """How answers are checked; None if the table does not ask for it. Paths are from the suite's folder."""
    if not (table.answers or table.tokenizer or table.refusals):
        return None
    tokenizer = None if table.tokenizer is None else _make_relative_path(path, table.tokenizer, shown)
    refusals = table.refusals
    if refusals is not None and ":" not in refusals:
        refusals = str(_make_relative_path(path, refusals, shown))
    return read_answer_checks(tokenizer, refusals)


def _find_kind(
    base_runs: Sequence[Path], table: LogsTable, tables: Mapping[str, object], *, several: bool
) -> FileKind:
    """What the table says, or what the base and the budgets show.

    KL logs have no base. Load tests have budgets on times; prediction files are known by their columns. For a
    base that does not exist yet, its keys and its suffix decide: JSON Lines may be either, and count as logs.
    several: whether a side has several runs; then a table of predictions is a log of accuracy.
    """
    if table.kind is not None:
        return _KINDS[table.kind]
    if not base_runs:
        return KL
    base = base_runs[0]
    if table.format is None:
        if base.is_file():
            is_predictions = has_predictions(base, stated=table.has_prediction_keys)
        else:
            is_table = base.suffix in (".csv", ".tsv", ".parquet")
            is_predictions = not base.exists() and (table.has_prediction_keys or is_table)
        if is_predictions:
            return ANSWERS if several else PREDICTIONS
    stated = tables.get("budgets", {})
    of_targets = stated.get("variants", {}) if isinstance(stated, Mapping) else {}
    budgets = [stated, *(of_targets.values() if isinstance(of_targets, Mapping) else ())]
    keys = {key for limits in budgets if isinstance(limits, Mapping) for key in limits} - {"variants"}
    if not keys.isdisjoint({LATENCY, *TOKEN_TABLES}):
        return LOADS
    return ANSWERS


def _check_base(base_runs: Sequence[Path], kind: FileKind) -> None:
    """Raises SuiteError if KL logs have a base, or other files have none."""
    if bool(base_runs) == (kind == KL):
        key, hint = ("base", "leave it out") if base_runs else ("no base", "name the log of the base")
        raise SuiteError(f'{key} was given with kind = "{_NAMES[kind]}"; {hint}')


def _check_keys(table: LogsTable, kind: FileKind, shown: str, *, several: bool) -> None:
    """Raises SuiteError for a key of [logs] that does not go with the kind of file.

    several: whether a side has several runs.
    """
    if kind == ANSWERS:
        for key in sorted(_PREDICTION_KEYS & table.model_fields_set):
            raise SuiteError(f"{shown} [logs] {key}: this key is for prediction files, but the base is a log")
        return
    if several:
        raise SuiteError(
            f"{shown} [logs]: several runs of a side were given; {kind} are judged with one run per side"
        )
    for key in LogsTable.model_fields:
        if key in table.model_fields_set - _KEYS[kind]:
            hint = ', or set format = "table" to slice by a column' if key == "slices" else ""
            raise SuiteError(f"{shown} [logs] {key}: cannot be used with {kind}; leave it out{hint}")


def _read_budgets(
    tables: Mapping[str, object], kind: FileKind, targets: Sequence[str], shown: str
) -> Mapping[str, FileBudgets]:
    return {name: read_file_budgets(tables, kind, name, shown, targets=targets) for name in targets}


def _make_relative_paths(file: Path, texts: str | list[str], shown: str) -> list[Path]:
    return [_make_relative_path(file, text, shown) for text in ([texts] if isinstance(texts, str) else texts)]


def _make_relative_path(file: Path, text: str, shown: str) -> Path:
    """Converts a path in the file to one relative to the working folder."""
    try:
        return Path(os.path.relpath(suite_path(file.parent, text)))
    except ValueError as error:
        raise SuiteError(f"{shown} [logs]: {error}") from None


LOGS_SCHEMA = "logs.schema.json"
# Budgets that files of other tools cannot decide.
_OF_MODELS = frozenset({"size", "flops", "memory", "baseline", MEASUREMENTS})
_QUALITY = {"$ref": "#/$defs/QualityBudget"}
_BUDGETS = (
    "limits of each comparison, by a pattern of its name, task or metric; of each kind, the last "
    "pattern that matches counts. Or limits by metric, flips, slices, latency or KL, as in a suite of models"
)
_POOLED = "limits on the mean over all samples"
_RANGES = "the lowest and the highest score of a metric, by pattern, such as grade = [1, 10]"
_SLICES = (
    "limits of every slice, by a pattern of a comparison, or of one slice, by field, value and pattern; "
    "for predictions, as in a suite of models"
)
_OF_TARGETS = "the budgets of one target, by its name"


def make_logs_schema() -> Json:
    """JSON Schema (2020-12) of a suite with [logs]: answers, predictions, load tests and KL logs.

    It accepts the budgets of all of them, since only the files show which kind they are.
    """
    table = LogsTable.model_json_schema(ref_template="#/$defs/{model}")
    definitions: Json = table.pop("$defs", {})
    budgets = _make_budgets_schema(definitions)
    of_target = _make_budgets_schema(definitions, off=True)
    budgets["properties"]["variants"] = {
        "type": "object",
        "description": _OF_TARGETS,
        "additionalProperties": of_target,
    }
    ends = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    return {
        "$schema": DIALECT,
        "$id": SITE + LOGS_SCHEMA,
        "title": "A suite of slimgate that judges logs",
        "type": "object",
        "required": [LOGS],
        "additionalProperties": False,
        "properties": {
            LOGS: table,
            "budgets": {**budgets, "description": _BUDGETS},
            POOLED: {**_QUALITY, "description": _POOLED},
            RANGES: {"type": "object", "description": _RANGES, "additionalProperties": ends},
        },
        "$defs": definitions,
    }


def _make_budgets_schema(definitions: Json, *, off: bool = False) -> Json:
    """The limits of a suite of models that logs can decide, and patterns. off: a limit may be "off"."""
    limits = make_limits_schema(definitions, off=off)
    properties = {name: table for name, table in limits["properties"].items() if name not in _OF_MODELS}
    quality = {"$ref": "#/$defs/QualityBudgetOfVariant"} if off else _QUALITY
    by_value = {
        "type": "object",
        "additionalProperties": {"type": "object", "additionalProperties": quality},
    }
    of_logs = {"type": "object", "additionalProperties": {"anyOf": [quality, by_value]}}
    properties["slices"] = {"description": _SLICES, "anyOf": [properties["slices"], of_logs]}
    return {"type": "object", "properties": properties, "additionalProperties": quality}
