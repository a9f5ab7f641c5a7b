"""Budgets held against those of an earlier release's record: which have become looser, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from slimgate.budgets import VariantBudgets
from slimgate.errors import DataError, SuiteError
from slimgate.judge.flips import KIND as FLIPS
from slimgate.judge.slices import slices_kind
from slimgate.record import BaselineFacts, LoosenedBudget, RunRecord, VariantRecord, read_record
from slimgate.record_files import RECORD, Kept, baselines_in
from slimgate.recorded_budgets import judged_budgets, looser, stated
from slimgate.suite import Suite

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
    """The facts of the suites that a baseline is of, by the suite's path.

    path: a run.json or its folder, or a folder of baselines, of which each suite takes its newest.
    shown: the path as messages print it. Raises SuiteError where no suite of the run is meant, or a budget
    is looser without a reason.
    """
    found = {}
    for one in _baselines(path, shown, suites.values()):
        suite = next(suite for suite in suites.values() if suite.shown == one.record.suite.path)
        file = (Path(shown) / one.file.relative_to(path)).as_posix() if path.is_dir() else shown
        loosened = loosened_budgets(suite, one.record)
        gone = [
            model.name
            for model in one.record.variants[1:]
            if model.gated and model.name not in suite.variants
        ]
        found[suite.path] = BaselineFacts(
            path=file, created=one.record.created, loosened=loosened, gates_gone=gone
        )
    return found


def _baselines(path: Path, shown: str, suites: Iterable[Suite]) -> list[Kept]:
    """Those that are of a suite of this run; there is at least one."""
    names = [suite.shown for suite in suites]
    if not path.is_dir() or (path / RECORD).is_file():
        file = path / RECORD if path.is_dir() else path
        record = read_baseline(file)
        if record.suite.path in names:
            return [Kept(file, record)]
        of = f"it is of {record.suite.path}, which this run does not have"
        raise SuiteError(f"--slimgate-baseline {shown}: {of}")
    try:
        newest = [found[-1] for name in names if (found := baselines_in(path, name))]
    except DataError as error:
        raise SuiteError(f"--slimgate-baseline {error}") from error
    if not newest:
        raise SuiteError(f"--slimgate-baseline {shown}: no baseline of {', '.join(names)} is in this folder")
    return newest


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
                f"{where}: {came} {since}; "
                'give the budget a reason = "…" for this change, that the report shows'
            )
    return found


def _of_variant(suite: Suite, name: str, baseline: RunRecord) -> Iterator[LoosenedBudget]:
    earlier = next((model for model in baseline.variants if model.name == name), None)
    if earlier is None or not earlier.gated:
        return
    limits, variant = _limits(suite.budgets[name]), suite.variants[name]
    for (budget, kind), (before, old_reason) in _recorded(earlier).items():
        limit, reason = limits.get((budget, kind), (None, None))
        # the words that stood there before are not about this change
        reason = stated(reason) if reason != old_reason else None
        if not variant.gated:
            limit, reason = None, stated(variant.reason)
        if limit is None or looser(kind, limit, before):
            yield LoosenedBudget(
                variant=name, budget=budget, kind=kind, before=before, limit=limit, reason=reason
            )


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
    if own.memory is not None:
        found["memory", "memory_ratio_max"] = (own.memory.memory_ratio_max, own.memory.reason)
    if own.speed is not None:
        found["latency", "speedup_min"] = (own.speed.speedup_min, own.speed.reason)
    return found


def _recorded(model: VariantRecord) -> Limits:
    """(budget, kind) -> limit and reason, as a record has them."""
    return {(one.of, one.facts.kind): (one.facts.limit, one.facts.reason) for one in judged_budgets(model)}
