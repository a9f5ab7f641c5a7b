"""A suite that judges files of other tools: [logs] names them, [budgets] and [pooled] limit losses.

[logs]
base = "../logs/base"
targets = { int4 = "../logs/int4" }
[budgets]
"*" = { drop_points = 2.0 }
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from slimgate.errors import DataError, SuiteError
from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.budget_tables import TOKEN_TABLES
from slimgate.logs.budgets import LogBudgets, budgets_of_table
from slimgate.logs.directions import read_directions
from slimgate.logs.load_tests import check_load_options
from slimgate.logs.pairs import Missing, Rules, SameId, check_options
from slimgate.logs.runs import parse_choices
from slimgate.plugins.params import VARIANT_NAME, Table, suite_path
from slimgate.record.budgets import PERPLEXITY
from slimgate.suite.budgets import resolve_budgets
from slimgate.suite.errors import to_suite_error
from slimgate.suite.file import parse_toml
from slimgate.suite.variant_budgets import LATENCY

LOGS = "logs"


# What of [logs] and of [budgets] goes with load tests, and with KL logs.
_KL_KEYS = frozenset({"title", "targets", "on_inconclusive", "seed"})
_LOAD_KEYS = _KL_KEYS | {"base", "repeat", "format", "allow"}
_KL_LIMITS = (*TOKEN_TABLES, PERPLEXITY)
_LOAD_LIMITS = (LATENCY,)


class LogsTable(Table):
    """Paths are from the folder of the file."""

    title: str | None = None
    """What the reports call it; default: the names of base and targets."""
    base: str | None = None
    """The log of the base: a file, a folder, or a kept baseline; left out for KL logs, which hold both."""
    targets: dict[Annotated[str, Field(pattern=VARIANT_NAME)], str] = Field(min_length=1)
    """By name the logs of the models to judge."""
    repeat: str | None = None
    """A second log of the base, from which its own noise is measured."""
    format: str | None = None
    """Of all logs; default: found from their content."""
    allow: list[str] = Field(default_factory=list)
    """What the logs may differ in, as `--allow` of `slimgate judge`."""
    missing: Missing = "fail"
    """What samples do that have no score in one of the logs or both."""
    run: str | dict[str, str] | None = None
    """Which run of a log that holds several, as `--run`; or by `base`, `target` and `repeat`."""
    same_id: SameId = "fail"
    """What several rows of one id are, as `--same-id`."""
    higher_is_better: list[str] = Field(default_factory=list)
    """Metrics, or patterns, that are better when higher, if neither the log nor their names say so."""
    lower_is_better: list[str] = Field(default_factory=list)
    """Metrics, or patterns, that are better when lower."""
    on_inconclusive: OnInconclusive = "fail"
    """What a budget does that the samples cannot decide."""
    seed: int = Field(default=0, ge=0)
    """Seed of the random weights."""


@dataclass(frozen=True)
class LogSuite:
    """A suite of logs, read from its file.

    shown: the file as messages name it. base, targets, repeat: paths relative to the working folder; base:
    None of KL logs, which hold both models. tables: of the file, without [logs]. budgets: on the comparisons
    of logs of answers; None where [budgets] is of load tests or KL logs.
    """

    path: Path
    shown: str
    table: LogsTable
    base: Path | None
    targets: Mapping[str, Path]
    repeat: Path | None
    tables: Mapping[str, Any]
    budgets: LogBudgets | None
    rules: Rules


def load_log_suite(path: Path, shown: str) -> LogSuite:
    """Reads the suite file, but no log. Raises SuiteError."""
    data = parse_toml(path, shown)
    tables = {key: value for key, value in data.items() if key != LOGS}
    try:
        table = LogsTable.model_validate(data[LOGS])
        of_answers = table.base is not None and not _limits_tool_files(tables)
        (check_options if of_answers else check_load_options)(table.allow)
        rules = Rules(
            frozenset(table.allow),
            table.missing,
            directions=read_directions(table.higher_is_better, table.lower_is_better),
            runs=parse_choices(table.run),
            same_id=table.same_id,
        )
    except ValidationError as error:
        raise to_suite_error(error, shown, data, (LOGS,)) from None
    except DataError as error:
        raise SuiteError(f"{shown} [logs] {str(error).removeprefix('--')}") from None
    except SuiteError as error:
        raise SuiteError(f"{shown} [logs]: {error}") from None
    if "teacher" in table.targets:
        raise SuiteError(f"{shown} [logs] targets.teacher: the report calls the base so; give another name")
    if not of_answers:
        _check_tool_files(table, tables, shown)
    return LogSuite(
        path=path,
        shown=shown,
        table=table,
        base=None if table.base is None else _to_relative_path(path, table.base, shown),
        targets={name: _to_relative_path(path, text, shown) for name, text in table.targets.items()},
        repeat=None if table.repeat is None else _to_relative_path(path, table.repeat, shown),
        tables=tables,
        budgets=budgets_of_table(tables, shown) if of_answers else None,
        rules=rules,
    )


def _limits_tool_files(tables: Mapping[str, Any]) -> bool:
    """Whether [budgets] limits times or KL, which only load tests and KL logs tell."""
    stated = tables.get("budgets")
    return isinstance(stated, Mapping) and not {LATENCY, *TOKEN_TABLES}.isdisjoint(stated)


def _check_tool_files(table: LogsTable, tables: Mapping[str, Any], shown: str) -> None:
    """Raises SuiteError for a key or a budget that load tests, or KL logs, do not answer."""
    of_loads = table.base is not None
    noun, keys, limits = (
        ("load tests", _LOAD_KEYS, _LOAD_LIMITS) if of_loads else ("KL logs", _KL_KEYS, _KL_LIMITS)
    )
    wrong = [f"[logs] {key}" for key in LogsTable.model_fields if key in table.model_fields_set - keys]
    wrong += [f"[{name}]" for name in tables if name != "budgets"]
    if wrong:
        raise SuiteError(f"{shown} {wrong[0]}: does not go with {noun}; leave it out")
    stated = tables.get("budgets", {})
    of_targets = stated.get("variants", {}) if isinstance(stated, Mapping) else {}
    budgets = [stated, *(of_targets.values() if isinstance(of_targets, Mapping) else ())]
    names = [name for table_of in budgets if isinstance(table_of, Mapping) for name in table_of]
    for name in names:
        if name not in (*limits, "variants"):
            other = "" if of_loads else "; files of two models need [logs] base"
            raise SuiteError(f'{shown} [budgets] "{name}": {noun} are judged by {", ".join(limits)}{other}')
    resolve_budgets(tables, tuple(table.targets), shown)


def _to_relative_path(file: Path, text: str, shown: str) -> Path:
    """Converts a path in the file to one relative to the working folder."""
    try:
        return Path(os.path.relpath(suite_path(file.parent, text)))
    except ValueError as error:
        raise SuiteError(f"{shown} [logs]: {error}") from None
