"""Load tests as judged files: budgets on speed-ups, and on the target's own times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from statistics import fmean

from slimgate._system.timestamps import format_now
from slimgate.errors import DataError
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import QUANTILES, format_call_times
from slimgate.judge.latency_budgets import SpeedBudget
from slimgate.judge.load_tests import (
    MEDIAN,
    PART_OF_SPEEDUP,
    SHOWN_QUANTILES,
    compare_times,
    format_ratio_message,
    judge_ratio,
    judge_time_limit,
    list_part_times,
)
from slimgate.judge.score_metric import RULES
from slimgate.logs.compared_settings import describe_versions
from slimgate.logs.file_budgets import PART_OF_LIMIT, FileBudgets
from slimgate.logs.find import read_any_log
from slimgate.logs.judged import JudgedFiles, digest_logs
from slimgate.logs.load_tests import (
    LoadPair,
    count_failures,
    describe_answers,
    describe_missing_times,
    find_open_question,
    pair_loads,
)
from slimgate.logs.same_run import LogFiles, check_repeat_rows, is_same_run
from slimgate.plugins.reader import LoadRun, Log
from slimgate.plugins.workloads import LOAD_PARTS, LoadPart, format_workload
from slimgate.record.run import VariantRecord
from slimgate.record.task import LOAD_TESTS, TaskFactsRecord
from slimgate.results.base import BudgetFacts, OnInconclusive, Verdict, find_worst_verdict
from slimgate.results.checks import TEACHER
from slimgate.results.tool_logs import TimeRatioFacts

Budget = SpeedBudget | LimitBudget


class JudgedLoadTests(JudgedFiles):
    """The judged load tests of a base and its targets.

    targets: by name, each with its judged loads. logs: of the targets, by name. repeat: the second run of the
    base, or None. allow: what may differ. accepted: what differs, such as `c8: prompt`.
    """

    def __init__(
        self,
        base: Log,
        targets: Mapping[str, VariantRecord],
        logs: Mapping[str, Log],
        repeat: Log | None = None,
        allow: Sequence[str] = (),
        accepted: Iterable[str] = (),
    ) -> None:
        self.base, self.targets, self.logs, self._repeat = base, targets, logs, repeat
        self._rules = {"allow": sorted(allow), "differences": sorted(accepted)}

    @property
    def base_name(self) -> str:
        return PurePath(self.base.shown).name

    def build_base_record(self) -> VariantRecord:
        return VariantRecord(name=TEACHER, parent=self.base.model)

    def build_task_facts(self) -> TaskFactsRecord:
        return TaskFactsRecord(
            kind=LOAD_TESTS,
            params={"loads": sorted(self.base.loads), RULES: self._rules},
            source={
                "name": self.base.tool,
                "base": self.base.shown,
                "targets": [log.shown for log in self.logs.values()],
                **({} if self._repeat is None else {"repeat": self._repeat.shown}),
                "files": digest_logs(
                    [self.base, *([] if self._repeat is None else [self._repeat]), *self.logs.values()]
                ),
            },
            real=True,
            classes=[],
            splits={},
        )


def judge_load_tests(
    base: Log,
    files: LogFiles,
    budgets: Mapping[str, FileBudgets],
    allow: Sequence[str],
    on_inconclusive: OnInconclusive,
) -> JudgedLoadTests:
    """Reads the load tests of each target, and judges them against those of the base, which is read already.

    budgets: by target. allow: names of settings that may differ. on_inconclusive: for budgets that do not
    state it. Raises DataError.
    """

    def read(path: Path) -> Log:
        return _require_load_test(read_any_log(path, files.format), path, files.base[0])

    files.check_repeat()
    repeat = None if files.repeat is None else read(files.repeat)
    targets = {name: read(paths[0]) for name, paths in files.targets.items()}
    if repeat is not None:
        _check_repeat(repeat, base, targets.values())
    for target in targets.values():
        if is_same_run(base, target):
            raise DataError(
                f"{target.shown}: it has the same times as {base.shown}, so it is the same run; expected a "
                "load test of another model"
            )
    pairs = {name: pair_loads(base, target, repeat, allow) for name, target in targets.items()}
    judged = {
        name: _judge_target(name, base, target, pairs[name], budgets[name], allow, on_inconclusive)
        for name, target in targets.items()
    }
    accepted = {
        f"{load.name}: {kind}" for loads in pairs.values() for load in loads for kind in load.accepted
    }
    return JudgedLoadTests(base, judged, targets, repeat, allow, accepted)


def _check_repeat(repeat: Log, base: Log, targets: Iterable[Log]) -> None:
    """Raises DataError if the second run of the base is of another model, or has the same times."""
    names = [PurePath(log.model).name for log in (repeat, base) if log.model is not None]
    if len(set(names)) > 1:  # the same model may lie in two folders
        raise DataError(
            f"--repeat {repeat.shown}: this is a load test of {repeat.model}, expected another run of "
            f"the base {base.model}"
        )
    for target in targets:
        check_repeat_rows(repeat, base, target)


def _require_load_test(log: Log, path: Path, base: Path) -> Log:
    """Returns the log. Raises DataError if it is a log of answers, or the base itself."""
    if not log.loads:
        raise DataError(
            f"{path}: it is a log of answers, but the base {base} is a load test; expected another load test"
        )
    if path.samefile(base):
        raise DataError(f"{path}: it is the base itself, expected another run")
    return log


def _judge_target(
    name: str,
    base: Log,
    target: Log,
    pairs: Sequence[LoadPair],
    budgets: FileBudgets,
    allow: Sequence[str],
    on_inconclusive: OnInconclusive,
) -> VariantRecord:
    loads = {
        pair.name: _judge_load(name, pair, budgets.limits.on_times, allow, on_inconclusive) for pair in pairs
    }
    versions = describe_versions(base, target, "give other times of the same model")
    notes = [*budgets.notes, *base.notes, *target.notes, *versions, *describe_answers(pairs)]
    return VariantRecord.model_validate(
        {"name": name, "parent": target.model, "load_tests": loads, "notes": notes}
    )


def _judge_load(
    name: str,
    pair: LoadPair,
    budgets: Sequence[Budget],
    allow: Sequence[str],
    on_inconclusive: OnInconclusive,
) -> dict[str, object]:
    repeat = None if pair.repeat is None else pair.repeat.requests
    compared = (
        compare_times(pair.base.requests, pair.target_requests, repeat, part, quantile)
        for part in LOAD_PARTS
        for quantile in SHOWN_QUANTILES
    )
    ratios = [ratio for ratio in compared if ratio is not None]  # None: a test lacks these times
    judged = [_judge_budget(name, pair, ratios, budget, allow) for budget in budgets]
    verdict = find_worst_verdict([budget_verdict.verdict for budget_verdict, _ in judged])
    return {
        "base": _describe_run(pair.base),
        "target": _describe_run(pair.target),
        "repeated": pair.repeat is not None,
        "times": ratios,
        "budgets": [
            replace(budget_verdict, on_inconclusive=budget.on_inconclusive or on_inconclusive)
            for budget, (budget_verdict, _) in zip(budgets, judged, strict=True)
        ],
        "verdict": verdict,
        "message": "; ".join(line for _, line in judged) or None,
        "measured": format_now(),
    }


def _describe_run(run: LoadRun) -> dict[str, object]:
    return {
        "requests": len(run.requests),
        "failed": count_failures(run),
        "unfinished": run.unfinished,
        "seconds": run.seconds,
        "prompt_tokens": _compute_mean(request.prompt_tokens for request in run.requests),
        "answer_tokens": _compute_mean(request.tokens for request in run.requests) if run.generates else None,
        "settings": dict(run.settings),
    }


def _compute_mean(lengths: Iterable[float | None]) -> float | None:
    """The mean of the known lengths; None if none is known."""
    known = [length for length in lengths if length is not None]
    return round(fmean(known), 1) if known else None


def _judge_budget(
    name: str, pair: LoadPair, ratios: Sequence[TimeRatioFacts], budget: Budget, allow: Sequence[str]
) -> tuple[BudgetFacts, str]:
    """The verdict and its line. Raises DataError if the tests have no time that the budget limits."""
    part = PART_OF_SPEEDUP.get(budget.kind) or PART_OF_LIMIT[budget.kind]
    quantile = QUANTILES.get(budget.kind, MEDIAN)
    ratio = next((ratio for ratio in ratios if (ratio.part, ratio.quantile) == (part, quantile)), None)
    if ratio is None:
        raise DataError(
            f"load {pair.name}: no answer has a time of {part}, which the budget {budget.kind} needs"
        )
    if isinstance(budget, LimitBudget) and budget.kind in PART_OF_LIMIT:
        own_times = list_part_times(pair.target_requests, part)
        times, noisy = judge_time_limit(own_times, budget, ratio.noise_floor)
        judged, undecided = _withhold_pass(times.budgets[0], pair, part, allow)
        times, undecided = replace(times, budgets=(judged,)), undecided or noisy
        return judged, format_call_times(name, pair.name, times, timed="requests", undecided=undecided)
    judged, undecided = _withhold_pass(judge_ratio(ratio, budget), pair, part, allow)
    place = f"{name}: {format_workload(pair.name)}"
    return judged, format_ratio_message(place, ratio, judged, undecided=undecided)


def _withhold_pass(
    judged: BudgetFacts, pair: LoadPair, part: LoadPart, allow: Sequence[str]
) -> tuple[BudgetFacts, str | None]:
    """A PASS becomes INCONCLUSIVE, with the reason, if its times are of too few answers or of unlike ones."""
    if judged.verdict is not Verdict.PASS:
        return judged, None
    undecided = describe_missing_times(pair, part) or find_open_question(pair, part, allow)
    if undecided is None:
        return judged, None
    return replace(judged, verdict=Verdict.INCONCLUSIVE, n_needed=None), undecided
