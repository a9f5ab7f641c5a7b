"""Budgets held against those of an earlier release's record: which have become looser, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from slimgate.budgets import VariantBudgets
from slimgate.errors import SuiteError
from slimgate.judge.flips import KIND as FLIPS
from slimgate.judge.slices import slices_kind
from slimgate.record import BaselineFacts, BudgetFacts, LoosenedBudget, RunRecord, VariantRecord, read_record
from slimgate.suite import Suite

# Kinds whose limit is the least that a variant must reach; of all others it is the most that it may lose.
_AT_LEAST = frozenset({"floor", "speedup_min", "compression_min"})
Limits = Mapping[tuple[str, str], tuple[float, str | None]]


def read_baseline(path: Path) -> RunRecord:
    """The record of a run.json. Raises SuiteError where it is none."""
    try:
        return read_record(path)
    except OSError as error:
        raise SuiteError(f"--slimgate-baseline {path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        problem = f"{where}: {first['msg']}; expected the run.json of an earlier run"
        raise SuiteError(f"--slimgate-baseline {path}: {problem}") from error


def held_against(path: Path, shown: str, suites: Mapping[Path, Suite]) -> dict[Path, BaselineFacts]:
    """The facts of the suite that a baseline is of, by the suite's path.

    shown: the baseline's path as messages print it. Raises SuiteError where no suite of the run is
    meant, or a budget is looser without a reason.
    """
    baseline = read_baseline(path)
    suite = next((one for one in suites.values() if one.shown == baseline.suite.path), None)
    if suite is None:
        of = f"it is of {baseline.suite.path}, which this run does not have"
        raise SuiteError(f"--slimgate-baseline {shown}: {of}")
    loosened = loosened_budgets(suite, baseline)
    return {suite.path: BaselineFacts(path=shown, created=baseline.created, loosened=loosened)}


def loosened_budgets(suite: Suite, baseline: RunRecord) -> list[LoosenedBudget]:
    """The budgets of variants in both that allow more than they did, or are gone.

    Raises SuiteError for one that is looser and does not say why.
    """
    found = [one for name in suite.variants for one in _of_variant(suite, name, baseline)]
    for one in found:
        if one.limit is not None and one.reason is None:
            where = f"{suite.shown} [budgets.variants.{one.variant}] {one.budget}"
            came = f"{one.kind} = {one.limit:g} is looser than {one.before:g}"
            since = f"in the baseline of {baseline.created}"
            raise SuiteError(
                f'{where}: {came} {since}; give the budget a reason = "…" that the report can show'
            )
    return found


def _of_variant(suite: Suite, name: str, baseline: RunRecord) -> Iterator[LoosenedBudget]:
    earlier = next((model for model in baseline.variants if model.name == name), None)
    if earlier is None or not earlier.gated:
        return
    limits, variant = _limits(suite.budgets[name]), suite.variants[name]
    for (budget, kind), before in _recorded(earlier).items():
        limit, reason = limits.get((budget, kind), (None, None))
        if not variant.gated:
            limit, reason = None, variant.reason
        if limit is None or _looser(kind, limit, before):
            yield LoosenedBudget(
                variant=name, budget=budget, kind=kind, before=before, limit=limit, reason=reason
            )


def _looser(kind: str, limit: float, before: float) -> bool:
    return limit < before if kind in _AT_LEAST else limit > before


def _limits(own: VariantBudgets) -> Limits:
    """(budget, kind) -> limit and reason, as the suite has them now."""
    found: dict[tuple[str, str], tuple[float, str | None]] = {
        (metric, budget.kind): (budget.limit, budget.reason)
        for metric, budgets in own.quality.items()
        for budget in budgets
    }
    flips = own.behaviour.flips
    if flips is not None:
        found["flips", FLIPS] = (flips.flips_max_percent, flips.reason)
    for metric, slices in own.behaviour.slices.items():
        found["slices", slices_kind(metric)] = (slices.drop_points, slices.reason)
    if own.size is not None:
        found["size", "compression_min"] = (own.size.compression_min, own.size.reason)
    if own.speed is not None:
        found["latency", "speedup_min"] = (own.speed.speedup_min, own.speed.reason)
    return found


def _recorded(model: VariantRecord) -> dict[tuple[str, str], float]:
    """(budget, kind) -> limit, as a record has them."""
    found: list[tuple[str, BudgetFacts]] = [
        (metric, budget) for metric, facts in model.quality.items() for budget in facts.budgets
    ]
    for budget in model.behaviour.budgets if model.behaviour else ():
        found.append(("flips" if budget.kind == FLIPS else "slices", budget))
    found += [("size", budget) for budget in (model.footprint.budgets if model.footprint else ())]
    found += [("latency", budget) for facts in model.latency.values() for budget in facts.budgets]
    return {(name, budget.kind): budget.limit for name, budget in found}
