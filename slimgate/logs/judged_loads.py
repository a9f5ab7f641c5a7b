"""Load tests as judged files: budgets on speed-ups, and on the target's own times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slimgate._system.timestamps import format_now
from slimgate.errors import DataError, SuiteError
from slimgate.judge.budget_kinds import OnInconclusive
from slimgate.judge.budget_tables import TTFT_P95, LimitBudget, SpeedBudget
from slimgate.judge.call_times import call_times_message, judge_call_times
from slimgate.judge.decision import BudgetVerdict
from slimgate.judge.facts import budget_facts
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
from slimgate.judge.verdict import worst_verdict
from slimgate.logs.judged import JudgedFiles
from slimgate.logs.load_tests import LoadPair, describe_lengths, failures, pair_loads
from slimgate.logs.target_budgets import describe_not_judged, describe_switched_off, resolve_for_target
from slimgate.plugins.reader import LoadRun, Log
from slimgate.plugins.workloads import LOAD_PARTS, LoadPart
from slimgate.record import TaskFactsRecord, VariantRecord
from slimgate.record.files import TEACHER
from slimgate.record.task import LOAD_TESTS
from slimgate.suite.variant_budgets import LATENCY

# The budgets on the target's own times that the requests of a load test decide.
PART_OF_LIMIT: Mapping[str, LoadPart] = {"p50_ms_max": "answer", "p95_ms_max": "answer", TTFT_P95: "ttft"}
Budget = SpeedBudget | LimitBudget


class JudgedLoadTests(JudgedFiles):
    """targets: each with its loads."""

    def __init__(self, base: Log, targets: Mapping[str, VariantRecord]) -> None:
        self.base, self.targets = base, targets

    @property
    def base_name(self) -> str:
        return self.base.shown

    def base_record(self) -> VariantRecord:
        return VariantRecord(name=TEACHER, parent=None)

    def task_facts(self) -> TaskFactsRecord:
        return TaskFactsRecord(
            kind=LOAD_TESTS,
            params={"loads": sorted(self.base.loads)},
            source={"name": self.base.tool, "base": self.base.shown},
            real=True,
            classes=[],
            splits={},
        )


def judge_load_tests(
    base: Log,
    targets: Mapping[str, Log],
    repeat: Log | None,
    budgets: Mapping[str, TimeBudgets],
    allow: Sequence[str],
    on_inconclusive: OnInconclusive,
) -> JudgedLoadTests:
    """budgets: by target. on_inconclusive: of a budget that does not say it. Raises DataError."""
    return JudgedLoadTests(
        base,
        {
            name: _judge_target(
                name, base, target, pair_loads(base, target, repeat, allow), budgets[name], on_inconclusive
            )
            for name, target in targets.items()
        },
    )


@dataclass(frozen=True)
class TimeBudgets:
    """The budgets on times of a target. warnings: budgets of its file on other things."""

    limits: tuple[Budget, ...] = ()
    warnings: tuple[str, ...] = ()


def read_time_budgets(tables: Mapping[str, Any], name: str, shown: str) -> TimeBudgets:
    """tables: of the file; name: of the target. Raises SuiteError for limits of models, and for none."""
    stated = resolve_for_target(tables, name, shown)
    budgets = stated.on_times
    if not budgets and not stated.switched_off:
        raise SuiteError(
            f"{shown} [budgets]: load tests are judged by latency, such as latency = {{ speedup_min = 1.2 }}"
        )
    able = (*PART_OF_SPEEDUP, *PART_OF_LIMIT)
    for budget in budgets:
        if budget.kind not in able:
            raise SuiteError(f"{shown} [budgets] latency {budget.kind}: load tests take {', '.join(able)}")
    warnings = describe_not_judged(stated, (LATENCY,), "load tests", shown)
    return TimeBudgets(budgets, (*warnings, *describe_switched_off(stated, name, shown)))


def require_load_test(log: Log, path: Path, base: Path) -> Log:
    """Raises DataError for a log of answers, and for the base itself."""
    if not log.loads:
        raise DataError(f"{path}: it is a log of answers and {base} a load test; expected load tests")
    if path.samefile(base):
        raise DataError(f"{path}: it is the base itself, expected another run")
    return log


def _judge_target(
    name: str,
    base: Log,
    target: Log,
    pairs: Sequence[LoadPair],
    budgets: TimeBudgets,
    on_inconclusive: OnInconclusive,
) -> VariantRecord:
    loads = {pair.name: _judge_load(name, pair, budgets.limits, on_inconclusive) for pair in pairs}
    notes = [*budgets.warnings, *base.notes, *target.notes, *describe_lengths(pairs)]
    return VariantRecord.model_validate(
        {"name": name, "parent": target.model, "load_tests": loads, "notes": notes}
    )


def _judge_load(
    name: str, pair: LoadPair, budgets: Sequence[Budget], on_inconclusive: OnInconclusive
) -> dict[str, Any]:
    ratios = [*_ratios(pair)]
    judged = [_judge_budget(name, pair, ratios, budget) for budget in budgets]
    verdict = worst_verdict([budget_verdict.verdict for budget_verdict, _ in judged])
    return {
        "base": _describe_run(pair.base),
        "target": _describe_run(pair.target),
        "repeated": pair.repeat is not None,
        "times": [{**asdict(ratio), "claimed_interval": ratio.claimed_interval} for ratio in ratios],
        "budgets": [
            budget_facts(budget_verdict, budget.on_inconclusive or on_inconclusive)
            for budget, (budget_verdict, _) in zip(budgets, judged, strict=True)
        ],
        "verdict": verdict,
        "message": "; ".join(line for _, line in judged) or None,
        "measured": format_now(),
    }


def _describe_run(run: LoadRun) -> dict[str, Any]:
    return {
        "requests": len(run.requests),
        "failed": failures(run),
        "unfinished": run.unfinished,
        "seconds": run.seconds,
        "settings": dict(run.settings),
    }


def _ratios(pair: LoadPair) -> Iterator[TimeRatio]:
    """Every part and quantile that both have."""
    repeat = None if pair.repeat is None else pair.repeat.requests
    for part in LOAD_PARTS:
        for quantile in SHOWN_QUANTILES:
            ratio = compare_times(pair.base.requests, pair.target.requests, repeat, part, quantile)
            if ratio is not None:
                yield ratio


def _judge_budget(
    name: str, pair: LoadPair, ratios: Sequence[TimeRatio], budget: Budget
) -> tuple[BudgetVerdict, str]:
    """The verdict and its line. Raises DataError where the tests have no time that the budget is of."""
    part = PART_OF_SPEEDUP.get(budget.kind) or PART_OF_LIMIT[budget.kind]
    ratio = next((ratio for ratio in ratios if (ratio.part, ratio.quantile) == (part, MEDIAN)), None)
    if ratio is None:
        raise DataError(
            f"load {pair.name}: no answer has a time of {part}, which {budget.kind} is a budget on"
        )
    if isinstance(budget, LimitBudget) and budget.kind in PART_OF_LIMIT:
        times = judge_call_times(part_ms(pair.target.requests, part), [budget])
        return times.budgets[0], call_times_message(name, pair.name, times, of="requests")
    judged = judge_ratio(ratio, budget)
    return judged, ratio_message(f"{name}: {pair.name}", ratio, judged)
