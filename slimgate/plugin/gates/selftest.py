"""Self-test: can this suite's gate distinguish a copy of the teacher from a damaged model?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import pytest

from slimgate._system.timestamps import format_now
from slimgate.budgets.registry import is_two_sided_kind
from slimgate.judge.budget_kinds import QualityBudget, compute_allowed_drop
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import Outcomes
from slimgate.plugin.gates.latency import describe_not_timed, measure_delay
from slimgate.plugin.gates.reporting import Report, report_builds
from slimgate.results.base import Verdict
from slimgate.results.checks import SELF_TEST, TEACHER
from slimgate.results.self_test import PLANTED_DELAY, SelfTestFacts
from slimgate.run.damaged_layer import NothingToDamage
from slimgate.run.duels import Duels
from slimgate.run.gate_results import GateResult
from slimgate.run.model_handle import ModelHandle
from slimgate.run.planted_fault import (
    Fault,
    judge_damaged_layer,
    judge_exchanged_answers,
    judge_exchanged_gain,
)
from slimgate.run.selftest import make_default_budget, predict_identical_copy
from slimgate.suite.suite import Suite


def test_selftest(
    suite: Suite,
    teacher: ModelHandle,
    duels: Duels,
    check: str,
    report_result: Report,
    request: pytest.FixtureRequest,
) -> None:
    """identical: a copy of the teacher must not FAIL. planted_fault: damage of twice the budget must FAIL.

    If there are too few rows to detect a planted fault, its verdict is INCONCLUSIVE. The report says so, and
    the test passes. planted_delay never fails. Speed budgets closer than the smallest detected delay are
    INCONCLUSIVE.
    """
    if check == PLANTED_DELAY:
        reason = describe_not_timed(request.config)
        if suite.teacher.is_endpoint:
            reason = "the teacher is an endpoint: its calls are not timed"
        if reason is not None:
            pytest.skip(reason)
        report_builds(report_result, teacher)
        measure_delay(duels, report_result)
        duels.close()  # its idle processes would each hold a model while latency is measured
        return
    report_builds(report_result, teacher)
    facts = (_judge_identical_copy if check == "identical" else _judge_planted_fault)(suite, teacher)
    report_result(GateResult(SELF_TEST, TEACHER, check, facts))
    if facts.wrong:
        pytest.fail(facts.message, pytrace=False)


def choose_budgets(suite: Suite, teacher: Outcomes) -> dict[str, QualityBudget]:
    """The tightest budget of any variant on each metric; without budgets, the default of the first metric.

    A floor or ceiling that the teacher misses does not count, because it allows no drop.
    """

    @cache
    def find_value(metric: str) -> float:
        return compute_value(load_metric(metric), teacher)

    judged = next((name for name in suite.metrics if load_metric(name).resampled), "accuracy")
    fallback = {judged: make_default_budget(load_metric(judged))}
    tightest = _find_tightest(suite, lambda metric, budget: compute_allowed_drop(budget, find_value(metric)))
    return tightest or fallback


def _find_two_sided_budgets(suite: Suite) -> dict[str, QualityBudget]:
    """The tightest two-sided budget of any variant on each metric."""
    return _find_tightest(suite, lambda _, budget: budget.limit if is_two_sided_kind(budget.kind) else 0.0)


def _find_tightest(
    suite: Suite, measure_room: Callable[[str, QualityBudget], float]
) -> dict[str, QualityBudget]:
    """The budget of any variant with the least room on each metric.

    measure_room(metric, budget): how far the metric may move; a budget without room does not count.
    """
    tightest: dict[str, tuple[float, QualityBudget]] = {}
    for table in suite.budgets.values():
        for metric, budgets in table.quality.items():
            for budget in budgets:
                room = measure_room(metric, budget)
                if room > 0 and (metric not in tightest or room < tightest[metric][0]):
                    tightest[metric] = (room, budget)
    return {metric: budget for metric, (_, budget) in tightest.items()}


def _judge_identical_copy(suite: Suite, teacher: ModelHandle) -> SelfTestFacts:
    stored, predicted = predict_identical_copy(teacher, seed=suite.seed)
    changed = int(stored.changed_rows(predicted).sum())
    verdicts = {
        name: judge_quality(load_metric(name), stored, predicted, [budget], seed=suite.seed).verdict
        for name, budget in choose_budgets(suite, teacher.outcomes).items()
    }
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    verdict = min(verdicts.values(), key=order.index)
    line = (
        f"self-test, identical copy: {changed} of {len(stored)} predictions changed, {verdict}"
        " (a copy of the teacher must not FAIL)"
    )
    wrong = verdict is Verdict.FAIL
    return SelfTestFacts(verdict=verdict, wrong=wrong, changed=changed, message=line, measured=format_now())


def _judge_planted_fault(suite: Suite, teacher: ModelHandle) -> SelfTestFacts:
    damage_rows = suite.setup.task.object.with_planted_fault
    budgets = choose_budgets(suite, teacher.outcomes)
    faults = [
        judge_exchanged_answers(teacher.outcomes, metric, budget, seed=suite.seed, damage_rows=damage_rows)
        for metric, budget in budgets.items()
    ]
    faults += [
        judge_exchanged_gain(teacher.outcomes, metric, budget, seed=suite.seed, damage_rows=damage_rows)
        for metric, budget in _find_two_sided_budgets(suite).items()
    ]
    shown, note = [_find_worst_fault(faults)], []
    try:
        damaged = judge_damaged_layer(teacher, budgets, seed=suite.seed)
    except NothingToDamage as reason:
        note = [f"{reason}, so only answers were exchanged"]
    else:
        shown.append(_find_worst_fault(damaged))
    worst = _find_worst_fault(shown)
    lines = "; ".join([*(fault.line for fault in shown), *note])
    return SelfTestFacts(
        verdict=worst.verdict,
        wrong=worst.wrong,
        drop_points=shown[0].drop_points,
        message=f"self-test, planted fault: {lines} (a fault of twice the budget must FAIL)",
        measured=format_now(),
    )


def _find_worst_fault(faults: Sequence[Fault]) -> Fault:
    """The fault with the worst result: not detected, else undecided, else nothing tested, else detected."""
    order = (Verdict.PASS, Verdict.INCONCLUSIVE, None, Verdict.FAIL)
    return min(faults, key=lambda fault: (not fault.wrong, order.index(fault.verdict)))
