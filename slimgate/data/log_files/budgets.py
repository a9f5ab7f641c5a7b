"""Budgets on the comparisons of two logs: one for all, by pattern, and one pooled over all samples.

[budgets]
"*" = { drop_points = 2.0 }
"gsm8k*" = { drop_points = 1.0 }       # of the patterns that match, the last one counts
[pooled]
drop_points = 0.5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slimgate.errors import SuiteError, format_suggestion
from slimgate.judge.budget_kinds import EQUIVALENT, BudgetKind, QualityBudget
from slimgate.judge.budget_tables import QualityBudgetTable

POOLED = "pooled"
_TABLES = ("budgets", POOLED)


@dataclass(frozen=True)
class LogBudgets:
    """patterns: of a comparison's name, task or metric, with its budgets. pooled: on all samples at once.

    measured: patterns of what is judged at all; none: everything.
    """

    patterns: tuple[tuple[str, tuple[QualityBudget, ...]], ...] = ()
    pooled: tuple[QualityBudget, ...] = ()
    measured: tuple[str, ...] = field(default=())

    def of(self, name: str, task: str, metric: str) -> tuple[QualityBudget, ...]:
        """The budgets of a comparison: those of the last pattern that matches."""
        found: tuple[QualityBudget, ...] = ()
        for pattern, budgets in self.patterns:
            if matches(pattern, name, task, metric):
                found = budgets
        return found

    def is_measured(self, name: str, task: str, metric: str) -> bool:
        return not self.measured or any(matches(one, name, task, metric) for one in self.measured)

    def check_used(self, names: Sequence[tuple[str, str, str]]) -> None:
        """Raises SuiteError for a pattern that matches no comparison."""
        for pattern in (*(pattern for pattern, _ in self.patterns), *self.measured):
            if not any(matches(pattern, *one) for one in names):
                known = [name for name, _, _ in names]
                shown = ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
                raise SuiteError(
                    f'"{pattern}" matches no comparison{format_suggestion(pattern, known)}; there are {shown}'
                )


def matches(pattern: str, name: str, task: str, metric: str) -> bool:
    """Whether a shell pattern is of this comparison: `gsm8k/strict-match/exact_match`, its task or metric."""
    return any(fnmatchcase(text, pattern) for text in (name, task, metric))


def drop_budgets(
    metrics: Sequence[str],
    points: Sequence[float],
    pooled: float | None,
    equivalent: Sequence[float] = (),
) -> LogBudgets:
    """Of a command line: one limit of each kind for each metric pattern in order, or one for all."""
    tables = limits_of_each(metrics or ["*"], points, equivalent)
    patterns = [
        (name, tuple(QualityBudget(kind, limit) for kind, limit in limits.items()))
        for name, limits in tables.items()
    ]
    of_pool = () if pooled is None else (QualityBudget("drop_points", pooled),)
    return LogBudgets(tuple(patterns), of_pool, tuple(metrics))


def limits_of_each(
    metrics: Sequence[str], points: Sequence[float], equivalent: Sequence[float] = ()
) -> dict[str, dict[BudgetKind, float]]:
    """By metric its --drop-points and --equivalent-points; metrics without a limit are left out.

    Of each kind one for each metric in order, or one for all.
    """
    stated: dict[BudgetKind, Sequence[float]] = {"drop_points": points, EQUIVALENT: equivalent}
    limits: dict[str, dict[BudgetKind, float]] = {}
    for kind, values in stated.items():
        if values and len(values) not in (1, len(metrics)):
            flag = f"--{kind.replace('_', '-')}"
            raise SuiteError(
                f"{len(values)} {flag} for {len(metrics)} --metric, expected one for each, in order, or "
                "one for all"
            )
        each = [*values] * len(metrics) if len(values) == 1 else values
        for metric, limit in zip(metrics, each, strict=False):
            limits.setdefault(metric, {})[kind] = limit
    return limits


def budgets_of_table(data: Mapping[str, Any], shown: str, metrics: Sequence[str] = ()) -> LogBudgets:
    """Of the tables [budgets] and [pooled]. Raises SuiteError for a table that is none of them."""
    if unknown := [name for name in data if name not in _TABLES]:
        raise SuiteError(f"{shown}: no table [{unknown[0]}] here{format_suggestion(unknown[0], _TABLES)}")
    stated = data.get("budgets", {})
    if not isinstance(stated, Mapping) or not (stated or POOLED in data):
        raise SuiteError(f'{shown}: expected [budgets] with "*" = {{ drop_points = 2.0 }}, or [pooled]')
    patterns = tuple((name, _table(value, f'{shown} [budgets] "{name}"')) for name, value in stated.items())
    pooled = _table(data[POOLED], f"{shown} [pooled]") if POOLED in data else ()
    return LogBudgets(patterns, pooled, tuple(metrics))


def _table(value: Any, shown: str) -> tuple[QualityBudget, ...]:
    try:
        found = QualityBudgetTable.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SuiteError(f"{shown}{' ' + where if where else ''}: {first['msg']}") from None
    if found.over == "builds":
        raise SuiteError(f'{shown} over: "builds" came, and a log is of one build; leave it out')
    return found.budgets()


def read_log_budgets(path: Path, metrics: Sequence[str] = ()) -> LogBudgets:
    """Of a TOML file."""
    import tomllib

    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SuiteError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: {error}") from error
    return budgets_of_table(data, str(path), metrics)
