"""What a run would do: which steps the store has, and whether the gate's rows can decide each budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slimgate.artifact import Artifact
from slimgate.budget_plan import planned_budgets
from slimgate.build import LOAD, Builder
from slimgate.digests import json_digest
from slimgate.errors import SlimgateError
from slimgate.record import RunRecord
from slimgate.run import SuiteRun
from slimgate.suite import TEACHER, Plugin, Suite


class _NotStored(Exception):
    """A step that the store does not have."""


class _Lookup(Builder):
    """A builder that only looks: it stops at the first step that would have to be built."""

    def _make(self, where: str, method: str, params: Any, key: Any, *others: Any, **more: Any) -> Artifact:  # noqa: ARG002
        entry = self._store.find("artifacts", json_digest(key))
        if entry is None:
            raise _NotStored(where)
        return Artifact(entry)


def plan_lines(run: SuiteRun, earlier: RunRecord | None) -> Iterator[str]:
    """The plan of one suite, line by line. Cuts the splits where that was not done; builds nothing.

    earlier: the record of a run that judged the same rows, from which the discordance is known.
    """
    suite = run.suite
    yield f"{suite.shown}: {suite.title}"
    sizes = ", ".join(f"{name} {report.n:,}" for name, report in run.rows.reports.items())
    yield f"  rows: {sizes}"
    lookup = _Lookup(suite, run.rows, run.store, device=run.device)
    for name in (TEACHER, *suite.variants):
        yield f"  {name}: {_state(lookup, suite, name)}"
    checks = f"{len(suite.metrics)} metrics, behaviour, size, {len(suite.workloads)} workloads"
    yield f"  measured of each variant: {checks}"
    yield from (f"  {one.line}" for one in planned_budgets(suite, run.rows.reports["gate"].n, earlier))


def head_lines(run: SuiteRun, earlier: RunRecord | None, *, quiet: bool) -> Iterator[str]:
    """For the head of a run: the budgets that the rows cannot decide; unless quiet, that there are none."""
    suite = run.suite
    planned = planned_budgets(suite, run.rows.reports["gate"].n, earlier)
    undecidable = [one for one in planned if not one.decidable]
    yield from (f"{suite.shown}: {one.line}" for one in undecidable)
    if planned and not undecidable and not quiet:
        hardest = max(one.needed for one in planned)
        rows = f"{planned[0].rows:,} gate rows can decide every budget on drops and flips"
        yield f"{suite.shown}: {rows} (the hardest takes about {hardest:,})"


def _step(step: Plugin) -> str:
    """Its name, and what it learns from where that is not the suite's teacher."""
    return step.name if step.teacher in (None, TEACHER) else f"{step.name} from {step.teacher}"


def _state(lookup: _Lookup, suite: Suite, name: str) -> str:
    variant = suite.model(name)
    steps = [*([LOAD] if variant.ref else []), *map(_step, variant.steps)]
    told = f"{variant.parent or (variant.ref and variant.ref.text)} -> {' -> '.join(steps)}"
    try:
        lookup.built(name)
    except _NotStored as missing:
        return f"{told}: to build, from {missing} on"
    except SlimgateError as error:
        return f"{told}: cannot be built: {error}"
    return f"{told}: in the store"
