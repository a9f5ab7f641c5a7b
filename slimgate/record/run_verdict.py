"""The verdict over the results of a record: which budgets hold, what failed, what is missing or carried over.

    judge_record(variants, self_test, missing)      the state of the whole record
    judge_this_run(variants, self_test, missing)    what this run judged, as its exit code has it

The status of a run is decided in results/counts.py alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from slimgate.record.run import VariantRecord
from slimgate.record.verdicts import RunVerdict
from slimgate.results.base import OnInconclusive, Verdict
from slimgate.results.checks import CONFIRMED, ERROR, SELF_TEST, TEACHER, CheckKey, Result
from slimgate.results.counts import BudgetCounts
from slimgate.results.facts import JudgedFacts
from slimgate.results.latency import LatencyFacts
from slimgate.results.quality import QualityFacts
from slimgate.results.self_test import SelfTest


def list_results(model: VariantRecord) -> Iterator[Result]:
    """All results of a model, and the metrics whose budgets do not PASS on the confirm rows."""
    yield from model.results()
    for metric, facts in model.confirm.items():
        if facts.verdict is not Verdict.PASS:  # the gate has already counted the budgets that hold
            yield Result(CONFIRMED, metric, facts)


def judge_record(variants: Sequence[VariantRecord], self_test: SelfTest, missing: int) -> RunVerdict:
    """The state of the whole record: FAIL before INCONCLUSIVE before partial before PASS.

    It is partial if checks are missing or results are of an earlier run, and "measured" if no budget that
    gates was judged.
    """
    carried = sum(len(model.carried) for model in variants)
    counts = _count_results(variants, self_test, frozenset())
    counts.is_complete = not (missing or carried)
    return _make_run_verdict(counts, missing, carried)


def judge_this_run(variants: Sequence[VariantRecord], self_test: SelfTest, missing: int) -> RunVerdict:
    """The verdict on what this run judged, without results that it carries over: PASS if all of that holds.

    Its `missing` counts the checks that this run did not make. If this run judged no budget, the status is
    "partial" if checks are missing, else "measured".
    """
    carried = frozenset(
        CheckKey(result.kind, model.name, result.name) for model in variants for result in model.carried
    )
    confirmed = {CheckKey(CONFIRMED, model.name, metric) for model in variants for metric in model.confirm}
    counts = _count_results(variants, self_test, carried | confirmed)
    unmade = missing + sum(key.kind != ERROR for key in carried)
    counts.is_complete = bool(counts.passed) or not unmade
    return _make_run_verdict(counts, unmade, 0)


def _add_facts(counts: BudgetCounts, facts: JudgedFacts) -> None:
    """Counts the budgets of one result. A result whose record lists no budgets counts as one budget."""
    as_one_budget: list[tuple[Verdict | None, OnInconclusive | None]] = [(facts.verdict, None)]
    counts.add_budgets(
        [(budget.verdict, budget.on_inconclusive) for budget in facts.budgets] or as_one_budget
    )
    if facts.verdict is Verdict.FAIL and facts.message:
        counts.failure_messages.append(facts.message)
    if facts.verdict is Verdict.INCONCLUSIVE and facts.message:
        counts.undecided_messages.append(facts.message)


def _make_run_verdict(counts: BudgetCounts, missing: int, carried: int) -> RunVerdict:
    return RunVerdict(
        status=counts.status,
        passed=counts.passed,
        failed=counts.failed,
        inconclusive=counts.inconclusive,
        errors=counts.errors,
        not_gated=counts.not_gated,
        warns=counts.warns,
        missing=missing,
        carried=carried,
        messages=list(dict.fromkeys([*counts.failure_messages, *counts.undecided_messages])),
    )


def _count_results(
    variants: Sequence[VariantRecord], self_test: SelfTest, without: Collection[CheckKey]
) -> BudgetCounts:
    """Counts all results. without: the checks that do not count."""
    counts = BudgetCounts()
    undecided_speed = False
    for model in variants:
        if model.error is not None and CheckKey(ERROR, model.name, "") not in without:
            counts.add_error(model.error)
        for kind, name, facts in list_results(model):
            if CheckKey(kind, model.name, name) in without:
                continue
            if facts.verdict is None or not model.gated:
                # Of the results without a budget, only the drops of metrics are counted.
                counts.not_gated += isinstance(facts, QualityFacts) and facts.drop_points is not None
                continue
            _add_facts(counts, facts)
            undecided_speed |= isinstance(facts, LatencyFacts) and facts.verdict is Verdict.INCONCLUSIVE
    for name, failure in self_test.failures.items():  # the gate cannot be trusted after a failed self-test
        if CheckKey(SELF_TEST, TEACHER, name) not in without:
            counts.add_error(failure.message)
    delay = self_test.planted_delay
    if delay is not None and not delay.seen and undecided_speed:
        counts.undecided_messages.append(delay.message)
    return counts
