"""Judges logs of answers, as judged files: a result for each comparison, and flips over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slimgate.errors import DataError, name_in_errors
from slimgate.judge.budget_kinds import list_actions
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.find import read_log
from slimgate.logs.judged import JudgedFiles, count_choices, make_base_record
from slimgate.logs.models import has_parts
from slimgate.logs.quotes import join_outcomes
from slimgate.logs.rules import Rules
from slimgate.logs.same_run import LogFiles, check_sides
from slimgate.logs.several_runs import read_side
from slimgate.logs.verdicts import LogVerdicts, judge_logs
from slimgate.outcomes import Outcomes
from slimgate.plugins.reader import Log
from slimgate.results.base import OnInconclusive
from slimgate.results.counts import BudgetCounts

if TYPE_CHECKING:
    from slimgate.logs.comparisons import Comparison
    from slimgate.record.run import VariantRecord
    from slimgate.record.task import TaskFactsRecord
    from slimgate.record.verdicts import RunVerdict
    from slimgate.results.base import SwitchedOffBudget


class AnswerBudgets(NamedTuple):
    """The budgets of a target. notes: about their file, such as the budgets that it switches off.

    list_switched_off: as in FileBudgets.
    """

    limits: LogBudgets
    notes: tuple[str, ...] = ()
    list_switched_off: Callable[[Iterable[Comparison]], list[SwitchedOffBudget]] = lambda _: []


def judge_answer_files(
    files: LogFiles,
    budgets: Mapping[str, AnswerBudgets],
    rules: Rules,
    *,
    seed: int,
    on_inconclusive: OnInconclusive,
    explain: Callable[[str, Log, Log], None] = lambda *_: None,
) -> JudgedAnswers:
    """Reads and judges the logs of each target. Raises DataError or SuiteError, as `judge_logs`.

    budgets: by target. explain: called with the name of a target, its base and its log before it is judged.
    """
    files.check_repeat()
    base = read_side(files.base, files.format)
    repeat = None if files.repeat is None else read_log(files.repeat, files.format)
    verdicts: dict[str, LogVerdicts] = {}
    switched_off: dict[str, list[SwitchedOffBudget]] = {}
    for name, paths in files.targets.items():
        if not has_parts(base):
            check_sides(files.base, paths)
        target = read_side(paths, files.format)
        explain(name, base, target)
        limits, notes, list_switched_off = budgets[name]
        with name_in_errors(name, len(files.targets)):
            judged = judge_logs(base, target, limits, rules, seed=seed, repeat=repeat)
        verdicts[name] = replace(judged, notes=(*notes, *judged.notes))
        switched_off[name] = list_switched_off(judged.comparisons)
    return JudgedAnswers(verdicts, on_inconclusive, switched_off)


class JudgedAnswers(JudgedFiles):
    """The judged figures of answers. verdicts, switched_off: by target."""

    def __init__(
        self,
        verdicts: Mapping[str, LogVerdicts],
        on_inconclusive: OnInconclusive,
        switched_off: Mapping[str, Sequence[SwitchedOffBudget]] = MappingProxyType({}),
    ) -> None:
        self.verdicts, self._switched_off = verdicts, switched_off
        self._first = next(iter(verdicts.values()))
        self._on_inconclusive = on_inconclusive

    @property
    def names(self) -> Sequence[str]:
        return list(self.verdicts)

    @cached_property
    def targets(self) -> Mapping[str, VariantRecord]:  # type: ignore[override]
        """The targets with the samples that they quote, for which the logs are read again."""
        from slimgate.logs.answer_records import make_behaviour

        return {
            name: record.model_copy(update={"behaviour": make_behaviour(self.verdicts[name])})
            for name, record in self._records.items()
        }

    @cached_property
    def _records(self) -> Mapping[str, VariantRecord]:
        """The targets without the samples that they quote."""
        from slimgate.logs.answer_records import make_variant_record

        choices = count_choices(
            {comparison.name: comparison.judged for comparison in judged.with_slices}
            for judged in self.verdicts.values()
        )
        return {
            name: make_variant_record(
                name, judged, self._on_inconclusive, choices, self._switched_off.get(name, ())
            )
            for name, judged in self.verdicts.items()
        }

    def judge_target(self, name: str) -> RunVerdict:
        from slimgate.record.run_verdict import judge_record
        from slimgate.results.self_test import SelfTest

        return judge_record([self._records[name]], SelfTest(), missing=0)

    def count_verdicts(self, name: str) -> BudgetCounts:
        """The counts of `judge_target`, of the comparisons themselves."""
        counts = BudgetCounts()
        for comparison in self.verdicts[name].with_slices:
            judged = comparison.judged.budgets
            actions = list_actions(comparison.budgets, self._on_inconclusive)
            counts.add_budgets(zip((budget.verdict for budget in judged), actions, strict=True))
            counts.not_gated += comparison.judged.verdict is None
        return counts

    @cached_property
    def _base_outcomes(self) -> Outcomes:
        return join_outcomes(self._first, of_base=True)

    @property
    def base_name(self) -> str:
        return self._first.base.model or self._first.base.shown

    @property
    def base_log(self) -> Log:
        return self._first.base

    def build_base_record(self) -> VariantRecord:
        judged = {comparison.name: comparison.judged for comparison in self._first.with_slices}
        return make_base_record(judged, self._first.base.model)

    def check_one_report(self) -> None:
        ids = self._base_outcomes.ids
        for name, judged in [*self.verdicts.items()][1:]:
            if not np.array_equal(join_outcomes(judged, of_base=True).ids, ids):
                raise DataError(
                    f"{name} has other tasks, metrics or samples than the first target, so one report "
                    "cannot show both; judge each target with a separate command (or suite)"
                )

    def collect_outcomes(self) -> Mapping[str, Outcomes]:
        from slimgate.results.checks import TEACHER

        answers = {name: join_outcomes(judged, of_base=False) for name, judged in self.verdicts.items()}
        return {TEACHER: self._base_outcomes, **answers}

    def build_task_facts(self) -> TaskFactsRecord:
        from slimgate.logs.answer_records import make_task_facts

        return make_task_facts([*self.verdicts.values()], self._base_outcomes)
