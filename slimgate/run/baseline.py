"""Baselines of a run: the record of an earlier release that each suite's budgets are held against.

It is what --slimgate-baseline names, else the file of the suite's own [budgets.baseline].

Budgets of a suite that allow more than those of an earlier release's record, and why.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from slimgate.errors import DataError, SuiteError
from slimgate.record import (
    ONLY_WARNS,
    BaselineFacts,
    BudgetFacts,
    LoosenedBudget,
    RunRecord,
    UndecidedChange,
    VariantRecord,
    WaitingBudget,
)
from slimgate.record.budgets import clean_reason, judged_budgets, looser
from slimgate.record.files import RECORD, Kept, baselines_in, read_run
from slimgate.suite.suite import TEACHER, Suite
from slimgate.suite.variant_budgets import BASELINE, Limit

Limits = Mapping[tuple[str, str], Limit]
OPTION = "--slimgate-baseline"


def loosened_budgets(suite: Suite, baseline: RunRecord) -> list[LoosenedBudget]:
    """The budgets of variants in both that allow more than they did, or are gone.

    Raises SuiteError for one that is looser and does not say why.
    """
    names = (TEACHER, *suite.variants)
    found = [one for name in names for one in _of_variant(suite, name, baseline)]
    for one in found:
        if one.limit is not None and one.reason is None:
            where = f"{suite.shown} [{_table(one)}] {one.budget.removeprefix(f'{BASELINE} ')}"
            since = f"in the baseline of {baseline.created}"
            raise SuiteError(
                f"{where}: {_came(one)} {since}; "
                'give the budget a reason = "…" for this change, that the report shows'
            )
    return found


def _table(one: LoosenedBudget) -> str:
    """Where the suite has the budget of that variant, or may have it."""
    own = "budgets.teacher" if one.variant == TEACHER else f"budgets.variants.{one.variant}"
    return f"{own}.{BASELINE}" if one.budget.startswith(f"{BASELINE} ") else own


def _came(one: LoosenedBudget) -> str:
    if one.limit is not None and looser(one.kind, one.limit, one.before):
        return f"{one.kind} = {one.limit:g} is looser than {one.before:g}"
    return f'{one.kind}: on_inconclusive = "warn" is looser than "fail"'


def _of_variant(suite: Suite, name: str, baseline: RunRecord) -> Iterator[LoosenedBudget]:
    earlier = next((model for model in baseline.variants if model.name == name), None)
    if earlier is None or not earlier.gated:
        return
    variant, own = suite.model(name), suite.budgets_of(name)
    limits = own.limits(suite.measure.on_inconclusive)
    off = {(one.budget, one.kind): one.reason for one in own.switched_off}
    for (budget, kind), before in _recorded_limits(earlier).items():
        now = limits.get((budget, kind))
        # the words that stood there before are not about this change
        reason = clean_reason(now.reason) if now and now.reason != before.reason else off.get((budget, kind))
        if not variant.gated:
            now, reason = None, clean_reason(variant.reason)
        undecided = _undecided_change(before, now)
        if now is None or looser(kind, now.limit, before.limit) or undecided == ONLY_WARNS:
            yield LoosenedBudget(
                variant=name,
                budget=budget,
                kind=kind,
                before=before.limit,
                limit=now.limit if now else None,
                reason=reason,
                undecided=undecided,
            )


def _undecided_change(before: Limit, now: Limit | None) -> UndecidedChange | None:
    was, is_ = before.on_inconclusive, now and now.on_inconclusive
    return None if was is None or is_ is None or was == is_ else (was, is_)


def _recorded_limits(model: VariantRecord) -> Limits:
    """By budget and kind, as a record has them; of latency once for all workloads."""
    judged = {
        ("latency" if one.of == "latency" else one.name, one.facts.kind): _limit(one.facts)
        for one in judged_budgets(model)
    }
    waiting = {
        (f"{BASELINE} {metric}", one.kind): _limit(one)
        for metric, since in model.since_baseline.items()
        for one in since.waiting
    }
    return judged | waiting


def _limit(facts: BudgetFacts | WaitingBudget) -> Limit:
    return Limit(facts.limit, facts.reason, facts.on_inconclusive)


class Baseline(NamedTuple):
    """The earlier release of one suite."""

    kept: Kept
    facts: BaselineFacts

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return self.facts.name or self.facts.path


class Given(NamedTuple):
    """A run.json, its folder, or a folder of baselines, of which each suite takes its newest.

    shown: the path as messages print it; where: what names it, the option or a place in a suite.
    """

    path: Path
    shown: str
    where: str = OPTION

    @property
    def is_folder_of_baselines(self) -> bool:
        return self.path.is_dir() and not (self.path / RECORD).is_file()

    @property
    def file(self) -> Path:
        """The run.json, where it is no folder of baselines."""
        return self.path / RECORD if self.path.is_dir() else self.path


def find_baselines(given: Given | None, suites: Mapping[Path, Suite], root: Path) -> dict[Path, Baseline]:
    """The baseline of every suite that has one, by the suite's path.

    given: what the option names, which goes before what the suites say; root: where their paths are shown
    from. Raises SuiteError where the option means no suite of the run, a suite's file is no baseline of it, a
    suite has budgets against a baseline and there is none, or answers of then are missing, and where a budget
    is looser without a reason.
    """
    found = {} if given is None else _of_option(given, suites)
    for path, suite in suites.items():
        if path not in found and (own := _of_suite(suite, root)) is not None:
            found[path] = own
    return {path: _make_baseline(suites[path], *one) for path, one in found.items()}


def refuse_last_run(held: Mapping[Path, Baseline], suites: Mapping[Path, Suite], report_root: Path) -> None:
    """Raises SuiteError where variants would be held against the record that this run replaces.

    Their loss would fail one run, and be the baseline of the next, which would pass.
    """
    for path, baseline in held.items():
        last = report_root / path.stem / RECORD
        if suites[path].since_baseline and baseline.kept.file.resolve() == last.resolve():
            raise SuiteError(
                f"{suites[path].shown} [budgets.baseline]: {baseline.facts.path} is the record that this run "
                "replaces: what is lost now would be the baseline of the next run; keep a release by "
                "slimgate accept, and give that"
            )


def _of_option(given: Given, suites: Mapping[Path, Suite]) -> dict[Path, tuple[Given, Kept]]:
    if not suites:
        raise SuiteError(f"{given.where} {given.shown}: this run has no suite to hold against it")
    found = {path: (given, kept) for path, suite in suites.items() if (kept := _newest(given, suite))}
    if not found:
        raise _means_none(given, suites.values())
    return found


def _of_suite(suite: Suite, root: Path) -> tuple[Given, Kept] | None:
    where = f"{suite.shown} [budgets.baseline]"
    if suite.baseline is None:
        if not suite.since_baseline:
            return None
        wanted = f'give file = "…", a run.json or a folder of baselines, or {OPTION} on the command line'
        raise SuiteError(f"{where}: there is no baseline to hold the variants against; {wanted}")
    shown = Path(os.path.relpath(suite.baseline, root)).as_posix()
    given = Given(suite.baseline, shown, f"{where} file")
    kept = _newest(given, suite)
    if kept is None:
        raise _means_none(given, [suite])
    return given, kept


def _newest(given: Given, suite: Suite) -> Kept | None:
    """The newest baseline of the suite; None where there is none of it."""
    try:
        if given.is_folder_of_baselines:
            return next(reversed(baselines_in(given.path, suite.shown)), None)
        kept = Kept(given.file, read_run(given.file))
    except DataError as error:
        raise SuiteError(f"{given.where} {error}; expected the run.json of an earlier run") from error
    return kept if kept.record.suite.path == suite.shown else None


def _means_none(given: Given, suites: Iterable[Suite]) -> SuiteError:
    names = ", ".join(suite.shown for suite in suites)
    if given.is_folder_of_baselines:
        return SuiteError(f"{given.where} {given.shown}: no baseline of {names} is in this folder")
    of = read_run(given.file).suite.path
    return SuiteError(f"{given.where} {given.shown}: it is of {of}, expected a run of {names}")


def _make_baseline(suite: Suite, given: Given, kept: Kept) -> Baseline:
    _check_answers(suite, given, kept)
    inside = kept.file.relative_to(given.path) if given.path.is_dir() else None
    facts = BaselineFacts(
        path=given.shown if inside is None else (Path(given.shown) / inside).as_posix(),
        name=kept.record.accepted.name if kept.record.accepted else None,
        created=kept.record.created,
        loosened=loosened_budgets(suite, kept.record),
        gates_gone=[
            model.name
            for model in kept.record.variants[1:]
            if model.gated and model.name not in suite.variants
        ],
    )
    return Baseline(kept, facts)


def _check_answers(suite: Suite, given: Given, kept: Kept) -> None:
    """Raises where the answers of a model that is to be held against the baseline are not there."""
    wanted = {name for name, _ in suite.since_baseline}
    for model in kept.record.variants:
        if model.name in wanted and model.is_measured and not kept.outcomes(model.name).is_file():
            file = kept.outcomes(model.name).relative_to(kept.file.parent).as_posix()
            raise SuiteError(
                f"{given.where} {given.shown}: there is no {file} beside {kept.file.name}; {model.name} is "
                "held against its answers of then, row by row: keep them, as slimgate accept does"
            )
