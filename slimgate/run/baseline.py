"""Baselines of a run: the record of an earlier release that each suite's budgets are held against.

It is what --slimgate-baseline names, else the file of the suite's own [budgets.baseline].

Budgets of a suite that allow more than those of an earlier release's record, and why.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slimgate.errors import DataError, SuiteError
from slimgate.record import ONLY_WARNS, BaselineFacts, LoosenedBudget, RunRecord, Weakening
from slimgate.record.budgets import looser
from slimgate.record.comparing.demands import budget_changes, find_weakenings, read_demands
from slimgate.record.files import RECORD, Kept, baselines_in, read_run
from slimgate.run.demands import demands_of
from slimgate.run.rows import PreparedRows
from slimgate.suite.suite import TEACHER, Suite
from slimgate.suite.variant_budgets import BASELINE

OPTION = "--slimgate-baseline"


class WeakerGate(SuiteError):
    """A gate that demands less than its baseline, and nobody said why. weaker: all of it."""

    def __init__(self, message: str, suite: Suite, name: str, weaker: Sequence[Weakening]) -> None:
        super().__init__(message)
        self.title, self.name, self.weaker = suite.title, name, tuple(weaker)


def loosened_budgets(suite: Suite, baseline: RunRecord) -> list[LoosenedBudget]:
    """The budgets of variants in both that allow more than they did, or are gone."""
    return [
        LoosenedBudget(
            variant=change.variant,
            budget=change.budget,
            kind=change.kind,
            before=change.before or 0.0,
            limit=change.after,
            reason=change.reason,
            undecided=change.undecided,
        )
        for change in budget_changes(read_demands(baseline), demands_of(suite))
        if change.looser
    ]


def require_as_strong(suite: Suite, kept: Kept, name: str, weaker: Sequence[Weakening]) -> None:
    """Raises WeakerGate where the gate demands less than the baseline and nobody said why.

    One looser limit is told by its place, where its reason goes; else all are listed.
    """
    unexplained = [weakening for weakening in weaker if weakening.reason is None]
    if not unexplained:
        return
    looser_limits = [
        budget
        for budget in loosened_budgets(suite, kept.record)
        if budget.limit is not None and not budget.reason
    ]
    if len(looser_limits) == len(unexplained) == 1:
        message = _one_limit(suite, looser_limits[0], kept.record)
    else:
        lines = "".join(f"\n  {weakening.change}" for weakening in unexplained)
        message = (
            f"{suite.shown}: the gate demands less than the baseline {name}:{lines}\n"
            'say why by [budgets.baseline] reason = "…", which the report shows, restore what is gone, or '
            f"accept this gate: run without {OPTION}, then slimgate accept with --reason"
        )
    raise WeakerGate(message, suite, name, weaker)


def _one_limit(suite: Suite, budget: LoosenedBudget, baseline: RunRecord) -> str:
    where = f"{suite.shown} [{_table(budget)}] {budget.budget.removeprefix(f'{BASELINE} ')}"
    return (
        f"{where}: {_came(budget)} in the baseline of {baseline.created}; "
        'give the budget a reason = "…" for this change, that the report shows'
    )


def _table(one: LoosenedBudget) -> str:
    """Where the suite has the budget of that variant, or may have it."""
    own = "budgets.teacher" if one.variant == TEACHER else f"budgets.variants.{one.variant}"
    return f"{own}.{BASELINE}" if one.budget.startswith(f"{BASELINE} ") else own


def _came(one: LoosenedBudget) -> str:
    if one.limit is not None and looser(one.kind, one.limit, one.before):
        return f"{one.kind} = {one.limit:g} is looser than {one.before:g}"
    if one.undecided == ONLY_WARNS:
        return f'{one.kind}: on_inconclusive = "warn" is looser than "fail"'
    return f"{one.kind}: its other options cover less than they did"


class Baseline(NamedTuple):
    """The earlier release of one suite."""

    kept: Kept
    facts: BaselineFacts

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return self.facts.name or self.facts.path

    def with_rows(self, suite: Suite, rows: PreparedRows) -> Baseline:
        """The same, with the rows of now too. Raises WeakerGate where they are others and nobody said why."""
        weaker = find_weakenings(read_demands(self.kept.record), demands_of(suite, rows))
        require_as_strong(suite, self.kept, self.name, weaker)
        return self._replace(facts=self.facts.model_copy(update={"weaker": weaker}))


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
    suite has budgets against a baseline and there is none, or answers of then are missing, and where the gate
    demands less without a reason, as far as that is known without the rows.
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
        weaker=find_weakenings(read_demands(kept.record), demands_of(suite)),
    )
    require_as_strong(suite, kept, facts.name or facts.path, facts.weaker)
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
