"""Budgets on load tests of a base and a target, judged: speed-ups, and the target's own times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from slimgate.errors import DataError
from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.budget_tables import TTFT_P95, LimitBudget, SpeedBudget
from slimgate.judge.call_times import call_times_message, judge_call_times
from slimgate.judge.decision import BudgetVerdict
from slimgate.judge.load_tests import (
    MEDIAN,
    PART_OF_SPEEDUP,
    SHOWN_QUANTILES,
    TimeRatio,
    compare_times,
    judge_ratio,
    part_ms,
    ratio_message,
)
from slimgate.logs.load_tests import LoadPair
from slimgate.plugins.workloads import LOAD_PARTS, LoadPart
from slimgate.record import RunVerdict
from slimgate.record.run_verdict import verdict_of_budgets

# The budgets on the target's own times that requests of a load test can answer.
PART_OF_LIMIT: Mapping[str, LoadPart] = {"p50_ms_max": "answer", "p95_ms_max": "answer", TTFT_P95: "ttft"}
Budget = SpeedBudget | LimitBudget


@dataclass(frozen=True)
class JudgedBudget:
    """One budget under one load. part: of the requests, that it limits; line: as it is printed."""

    load: str
    part: LoadPart
    verdict: BudgetVerdict
    line: str
    on_inconclusive: OnInconclusive


@dataclass(frozen=True)
class JudgedLoads:
    """One target. ratios: by load, every part and quantile that both have."""

    pairs: Sequence[LoadPair]
    ratios: Mapping[str, Sequence[TimeRatio]]
    budgets: Sequence[JudgedBudget]

    @property
    def run_verdict(self) -> RunVerdict:
        """Counted as in every run."""
        return verdict_of_budgets((budget.verdict.verdict, budget.on_inconclusive) for budget in self.budgets)


def judge_pairs(
    name: str, pairs: Sequence[LoadPair], budgets: Sequence[Budget], on_inconclusive: OnInconclusive
) -> JudgedLoads:
    """Every pair and budget.

    name: of the target. on_inconclusive: of a budget that does not say it.
    """
    ratios = {pair.name: [*_ratios(pair)] for pair in pairs}
    judged = [
        _judge_budget(name, pair, ratios[pair.name], budget, on_inconclusive)
        for pair in pairs
        for budget in budgets
    ]
    return JudgedLoads(pairs, ratios, judged)


def _ratios(pair: LoadPair) -> Iterator[TimeRatio]:
    repeat = None if pair.repeat is None else pair.repeat.requests
    for part in LOAD_PARTS:
        for quantile in SHOWN_QUANTILES:
            ratio = compare_times(pair.base.requests, pair.target.requests, repeat, part, quantile)
            if ratio is not None:
                yield ratio


def _judge_budget(
    name: str, pair: LoadPair, ratios: Sequence[TimeRatio], budget: Budget, on_inconclusive: OnInconclusive
) -> JudgedBudget:
    """Raises DataError where the tests have no time that the budget is of."""
    part = PART_OF_SPEEDUP.get(budget.kind) or PART_OF_LIMIT[budget.kind]
    ratio = next((ratio for ratio in ratios if (ratio.part, ratio.quantile) == (part, MEDIAN)), None)
    if ratio is None:
        raise DataError(
            f"load {pair.name}: no answer has a time of {part}, which {budget.kind} is a budget on"
        )
    if isinstance(budget, LimitBudget) and budget.kind in PART_OF_LIMIT:
        times = judge_call_times(part_ms(pair.target.requests, part), [budget])
        [verdict], line = times.budgets, call_times_message(name, pair.name, times, of="requests")
    else:
        verdict = judge_ratio(ratio, budget)
        line = ratio_message(f"{name}: {pair.name}", ratio, verdict)
    return JudgedBudget(pair.name, part, verdict, line, budget.on_inconclusive or on_inconclusive)
