"""Finds each suite's baseline, the record of an earlier release, and refuses a gate that demands less.

--slimgate-baseline names the baseline, else the suite's [budgets.baseline] file.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from slimgate.errors import DataError, SuiteError, did_you_mean
from slimgate.record.budgets import is_looser
from slimgate.record.comparing.budgets import list_missing_gates
from slimgate.record.comparing.demands import read_demands
from slimgate.record.comparing.weakenings import find_budget_changes, find_weakenings
from slimgate.record.files import EDITED, RECORD, StoredRecord, read_run, read_suite_baselines
from slimgate.record.run import RunRecord
from slimgate.record.task import Demands
from slimgate.record.verdicts import ONLY_WARNS, BaselineFacts, LoosenedBudget, Weakening
from slimgate.results.checks import BASELINE, TEACHER
from slimgate.run.demands import make_demands
from slimgate.run.rows import PreparedRows
from slimgate.suite.suite import Suite

OPTION = "--slimgate-baseline"


class WeakerGate(SuiteError):
    """A gate demands less than its baseline, without a reason. weaker: everything that it demands less."""

    def __init__(self, message: str, suite: Suite, name: str, weaker: Sequence[Weakening]) -> None:
        super().__init__(message)
        self.title, self.name, self.weaker = suite.title, name, tuple(weaker)


def find_loosened_budgets(before: Demands, now: Demands) -> list[LoosenedBudget]:
    """The budgets that allow more than in the baseline, or are gone, for variants in both runs."""
    return [change.to_loosened() for change in find_budget_changes(before, now) if change.looser]


def refuse_weaker_gate(suite: Suite, run: StoredRecord, name: str, weaker: Sequence[Weakening]) -> None:
    """Raises WeakerGate if the gate demands less than the baseline, without a reason.

    For a single looser limit the message names its place in the suite, where the reason belongs; else it
    lists everything.
    """
    unexplained = [weakening for weakening in weaker if weakening.reason is None]
    if not unexplained:
        return
    looser_limits = [
        budget
        for budget in find_loosened_budgets(read_demands(run.record), make_demands(suite))
        if budget.limit is not None and not budget.reason
    ]
    if len(looser_limits) == len(unexplained) == 1:
        message = _describe_looser_limit(suite, looser_limits[0], run.record)
    else:
        lines = "".join(f"\n  {weakening.change}" for weakening in unexplained)
        message = (
            f"{suite.shown}: the gate demands less than the baseline {name}:{lines}\n"
            'give a reason with [budgets.baseline] reason = "…", which the report shows, restore what is '
            f"gone, or accept this gate: run without {OPTION}, then slimgate accept with --reason"
        )
    raise WeakerGate(message, suite, name, weaker)


def _describe_looser_limit(suite: Suite, budget: LoosenedBudget, baseline: RunRecord) -> str:
    table = "budgets.teacher" if budget.variant == TEACHER else f"budgets.variants.{budget.variant}"
    key = budget.budget.removeprefix(f"{BASELINE} ")
    if key != budget.budget:
        table += f".{BASELINE}"
    return (
        f"{suite.shown} [{table}] {key}: {_describe_change(budget)} in the baseline of {baseline.created}; "
        'give the budget a reason = "…" for this change, which the report shows'
    )


def _describe_change(budget: LoosenedBudget) -> str:
    if budget.limit is not None and is_looser(budget.kind, budget.limit, budget.before):
        return f"{budget.kind} = {budget.limit:g} is looser than {budget.before:g}"
    if budget.undecided == ONLY_WARNS:
        return f'{budget.kind}: on_inconclusive = "warn" is looser than "fail"'
    return f"{budget.kind}: its other options cover less than they did"


class Baseline(NamedTuple):
    """The earlier release of one suite."""

    run: StoredRecord
    facts: BaselineFacts

    @property
    def name(self) -> str:
        """The name to show to readers."""
        return self.facts.name or self.facts.path

    def with_rows(self, suite: Suite, rows: PreparedRows) -> Baseline:
        """The same, compared with this run's rows too. Raises WeakerGate if they differ without a reason."""
        weaker = find_weakenings(read_demands(self.run.record), make_demands(suite, rows))
        refuse_weaker_gate(suite, self.run, self.name, weaker)
        return self._replace(facts=self.facts.model_copy(update={"weaker": weaker}))


class BaselineSource(NamedTuple):
    """A run.json, its folder, or a folder of baselines, from which each suite takes its newest.

    shown: the path as messages print it; where: the option or the place in a suite that names it.
    """

    path: Path
    shown: str
    where: str = OPTION

    @property
    def is_folder_of_baselines(self) -> bool:
        return self.path.is_dir() and not (self.path / RECORD).is_file()

    @property
    def file(self) -> Path:
        """The run.json, if the path is not a folder of baselines."""
        return self.path / RECORD if self.path.is_dir() else self.path


def find_baselines(
    option: BaselineSource | None, suites: Mapping[Path, Suite], root: Path
) -> dict[Path, Baseline]:
    """The baseline of every suite that has one, by the suite's path.

    option: the baseline that the option names; it takes precedence over the suites' own. root: the folder
    that their paths are shown relative to. Raises SuiteError if the option's baseline fits no suite of the
    run, if a suite's file is no baseline of it, if a suite has budgets since a baseline but no baseline, if
    the baseline's answers are missing, or if the gate demands less without a reason, as far as that is known
    without the rows.
    """
    sources = {} if option is None else _find_by_option(option, suites)
    for path, suite in suites.items():
        if path not in sources and (from_suite := _find_by_suite(suite, root)) is not None:
            sources[path] = from_suite
    return {path: _make_baseline(suites[path], *source) for path, source in sources.items()}


def refuse_last_run(
    baselines: Mapping[Path, Baseline], suites: Mapping[Path, Suite], report_root: Path
) -> None:
    """Raises SuiteError if variants would be compared with the record that this run replaces.

    A loss would fail this run but become the baseline of the next run, which would pass.
    """
    for path, baseline in baselines.items():
        last = report_root / path.stem / RECORD
        if suites[path].since_baseline and baseline.run.file.resolve() == last.resolve():
            raise SuiteError(
                f"{suites[path].shown} [budgets.baseline]: this run overwrites its baseline "
                f"{baseline.facts.path}, so a loss in this run would become the baseline of the next; "
                "keep a release with slimgate accept, and use that as the baseline"
            )


def _find_by_option(
    source: BaselineSource, suites: Mapping[Path, Suite]
) -> dict[Path, tuple[BaselineSource, StoredRecord]]:
    if not suites:
        raise SuiteError(f"{source.where} {source.shown}: this run has no suite to compare with it")
    newest = {path: find_newest(source, suite.shown) for path, suite in suites.items()}
    runs = {path: (source, run) for path, run in newest.items() if run is not None}
    if not runs:
        raise make_mismatch_error(source, [suite.shown for suite in suites.values()])
    return runs


def _find_by_suite(suite: Suite, root: Path) -> tuple[BaselineSource, StoredRecord] | None:
    where = f"{suite.shown} [budgets.baseline]"
    if suite.baseline is None:
        if not suite.since_baseline:
            return None
        hint = f'give file = "…", a run.json or a folder of baselines, or {OPTION} on the command line'
        raise SuiteError(f"{where}: there is no baseline to compare the variants with; {hint}")
    shown = Path(os.path.relpath(suite.baseline, root)).as_posix()
    source = BaselineSource(suite.baseline, shown, f"{where} file")
    run = find_newest(source, suite.shown)
    if run is None:
        raise make_mismatch_error(source, [suite.shown])
    return source, run


def find_newest(source: BaselineSource, suite: str) -> StoredRecord | None:
    """The newest baseline of the suite at this path; None if there is none. Raises SuiteError."""
    try:
        if source.is_folder_of_baselines:
            newest = next(reversed(read_suite_baselines(source.path, suite)), None)
        else:
            run = StoredRecord(source.file, read_run(source.file))
            newest = run if run.record.suite.path == suite else None
    except DataError as error:
        folder = source.path.parent
        near = [] if source.path.exists() or not folder.is_dir() else [path.name for path in folder.iterdir()]
        hint = did_you_mean(source.path.name, near) or "; expected the run.json of an earlier run"
        raise SuiteError(f"{source.where} {error}{hint}") from error
    if newest is not None and newest.is_edited:
        raise SuiteError(
            f"{source.where} {newest.file.as_posix()}: the file {EDITED}, so it "
            "does not show what that gate demanded; restore it, or keep a new run with slimgate accept"
        )
    return newest


def make_mismatch_error(source: BaselineSource, suites: Iterable[str]) -> SuiteError:
    """The error about a source without a baseline of the suites at these paths."""
    names = ", ".join(suites)
    if source.is_folder_of_baselines:
        return SuiteError(f"{source.where} {source.shown}: no baseline of {names} is in this folder")
    suite_path = read_run(source.file).suite.path
    return SuiteError(
        f"{source.where} {source.shown}: this is a run of {suite_path}, expected a run of {names}"
    )


def _make_baseline(suite: Suite, source: BaselineSource, run: StoredRecord) -> Baseline:
    _check_answers(suite, source, run)
    before, now = read_demands(run.record), make_demands(suite)
    facts = describe_baseline(
        source,
        run,
        loosened=find_loosened_budgets(before, now),
        weaker=find_weakenings(before, now),
        variants=suite.variants,
    )
    refuse_weaker_gate(suite, run, facts.name or facts.path, facts.weaker)
    return Baseline(run, facts)


def describe_baseline(
    source: BaselineSource,
    run: StoredRecord,
    *,
    loosened: list[LoosenedBudget],
    weaker: list[Weakening],
    variants: Container[str],
) -> BaselineFacts:
    """What a record says of its baseline. variants: the names that the suite has now."""
    inside = run.file.relative_to(source.path) if source.path.is_dir() else None
    return BaselineFacts(
        path=source.shown if inside is None else (Path(source.shown) / inside).as_posix(),
        name=run.record.accepted.name if run.record.accepted else None,
        created=run.record.created,
        loosened=loosened,
        gates_gone=list_missing_gates(run.record, variants),
        weaker=weaker,
    )


def _check_answers(suite: Suite, source: BaselineSource, run: StoredRecord) -> None:
    """Raises if the baseline lacks the answers of a model that has budgets since the baseline.

    A model that could not be built or measured then has none, and is new.
    """
    names = {name for name, _ in suite.since_baseline}
    for model in run.record.variants:
        if model.name not in names or model.error is not None:
            continue
        if not model.is_measured:
            raise SuiteError(
                f"{source.where} {source.shown}: {model.name} was not measured in {run.file.name}, which is "
                f"of a part of the suite, so {model.name} would be compared with nothing; use a whole run as "
                "the baseline"
            )
        if not run.make_outcomes_path(model.name).is_file():
            file = run.make_outcomes_path(model.name).relative_to(run.file.parent).as_posix()
            raise SuiteError(
                f"{source.where} {source.shown}: there is no {file} next to {run.file.name}; {model.name} "
                "is compared with its earlier answers, row by row; keep these files, as slimgate accept "
                "does"
            )
