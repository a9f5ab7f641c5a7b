"""What a run would do: which steps the store has, and whether the gate's rows can decide each budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slimgate.artifact import Artifact
from slimgate.build import LOAD, Builder
from slimgate.digests import json_digest
from slimgate.errors import SlimgateError
from slimgate.judge.rows_needed import ASSUMED_DISCORDANCE, needed_rows, planned_rows
from slimgate.run import SuiteRun
from slimgate.suite import TEACHER, Suite


class _NotStored(Exception):
    """A step that the store does not have."""


class _Lookup(Builder):
    """A builder that only looks: it stops at the first step that would have to be built."""

    def _make(self, where: str, method: str, params: Any, key: Any, *others: Any) -> Artifact:  # noqa: ARG002
        entry = self._store.find("artifacts", json_digest(key))
        if entry is None:
            raise _NotStored(where)
        return Artifact(entry)


def plan_lines(run: SuiteRun) -> Iterator[str]:
    """The plan of one suite, line by line. Cuts the splits where that was not done; builds nothing."""
    suite = run.suite
    yield f"{suite.shown}: {suite.title}"
    sizes = ", ".join(f"{name} {report.n:,}" for name, report in run.rows.reports.items())
    yield f"  rows: {sizes}"
    lookup = _Lookup(suite, run.rows, run.store, device=run.device)
    for name in (TEACHER, *suite.variants):
        yield f"  {name}: {_state(lookup, suite, name)}"
    checks = f"{len(suite.metrics)} metrics, behaviour, size, {len(suite.workloads)} workloads"
    yield f"  measured of each variant: {checks}"
    yield from _budget_lines(suite, run.rows.reports["gate"].n)
    yield from _flip_lines(suite, run.rows.reports["gate"].n)


def _state(lookup: _Lookup, suite: Suite, name: str) -> str:
    variant = suite.model(name)
    steps = [*([LOAD] if variant.ref else []), *(step.name for step in variant.steps)]
    told = f"{variant.parent or (variant.ref and variant.ref.text)} -> {' -> '.join(steps)}"
    try:
        lookup.built(name)
    except _NotStored as missing:
        return f"{told}: to build, from {missing} on"
    except SlimgateError as error:
        return f"{told}: cannot be built: {error}"
    return f"{told}: in the store"


def _budget_lines(suite: Suite, rows: int) -> Iterator[str]:
    """Whether n can decide each distinct budget, if the variant is as good as the teacher."""
    limits = {
        (metric, budget.limit)
        for own in suite.budgets.values()
        for metric, budgets in own.quality.items()
        for budget in budgets
    }
    for metric, limit in sorted(limits):
        needed = planned_rows(limit / 100)
        can = "can be decided" if rows >= needed else f"CANNOT be decided by {rows:,}"
        yield (
            f"  budget {metric} {limit:g} points: takes about {needed:,} gate rows "
            f"(no true drop, {ASSUMED_DISCORDANCE:.0%} of rows changed), {can}"
        )


def _flip_lines(suite: Suite, rows: int) -> Iterator[str]:
    """Whether n can decide each distinct budget on flips, if half as many rows turn as it allows."""
    limits = {own.behaviour.flips.flips_max_percent for own in suite.budgets.values() if own.behaviour.flips}
    for limit in sorted(limits):
        share = limit / 200
        needed = needed_rows(2 * share, share, variance=share * (1 - share)) or 0
        can = "can be decided" if rows >= needed else f"CANNOT be decided by {rows:,}"
        yield f"  budget flips {limit:g} %: takes about {needed:,} gate rows (half of that turned), {can}"
