"""The results that gates report, and the record that is made of them.

The facts of a result are those of the record. A worker process sends a result as JSON, in a test report.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, cast

import slimgate
from slimgate._system.git import describe_commit
from slimgate._system.timestamps import format_now
from slimgate.judge.budget_tables import BehaviourBudgets
from slimgate.record.build import BuildFacts, StagesFacts
from slimgate.record.run import CodeReads, RowShapes, RunRecord, VariantRecord
from slimgate.record.run_verdict import judge_record, judge_this_run
from slimgate.record.task import Machine, SuiteFacts, TaskFactsRecord
from slimgate.record.verdicts import CarriedResult, ErrorFacts
from slimgate.results.base import Verdict
from slimgate.results.checks import (
    BASELINE,
    BEHAVIOUR,
    CONFIRMED,
    ERROR,
    FACTS,
    FLOPS,
    LATENCY,
    MEASUREMENT,
    MEMORY,
    QUALITY,
    SELF_TEST,
    SINCE,
    SIZE,
    SPEEDUP,
    TEACHER,
    CheckKey,
)
from slimgate.results.facts import Facts
from slimgate.results.latency import LatencyFacts, SpeedupFacts, TimeLimitFacts, TimesFacts
from slimgate.results.self_test import PLANTED_DELAY, SELF_TESTS, PlantedDelay, SelfTest
from slimgate.run.claims import check_speed_claims
from slimgate.suite.suite import Suite

if TYPE_CHECKING:
    from slimgate.plugins.base import Json
    from slimgate.suite.variant_budgets import VariantBudgets

# What is reported of how a model was built, and of what the user's code has read; no check is named so.
BUILD, STAGES, SHAPES, CODE_READS = "build", "stages", "shapes", "code_reads"
# What judges or measures; a later run may carry it over.
RESULTS = (QUALITY, SINCE, BEHAVIOUR, SIZE, MEMORY, FLOPS, MEASUREMENT, LATENCY, SPEEDUP, SELF_TEST, ERROR)
EARLIER = "an earlier run"  # the name of an error whose test is not known any more
NO_BUDGET = "it has no budget"
_FACTS: Mapping[str, type[Facts]] = {
    **FACTS,
    BUILD: BuildFacts,
    STAGES: StagesFacts,
    SHAPES: RowShapes,
    CODE_READS: CodeReads,
    ERROR: ErrorFacts,
}


@dataclass(frozen=True)
class GateResult:
    """What one test found of a model. name: as in CheckKey."""

    kind: str
    variant: str
    name: str
    facts: Facts

    @property
    def key(self) -> CheckKey:
        """The check that it belongs to."""
        return CheckKey(self.kind, self.variant, self.name)

    @property
    def measured(self) -> str | None:
        """When it was measured."""
        name = "duel_measured" if self.kind == SPEEDUP else "measured"
        when: str | None = getattr(self.facts, name, None)
        return when

    @property
    def explains_failure(self) -> bool:
        """Whether it says why its test failed; a failed test without such a result is an error."""
        judged = (self.facts, getattr(self.facts, "limits", None))
        failing = [
            getattr(facts, "verdict", None) in (Verdict.FAIL, Verdict.INCONCLUSIVE) for facts in judged
        ]
        return self.kind == SELF_TEST or any(failing)

    def to_json(self) -> Json:
        """The result as it is sent between processes."""
        return {
            "kind": self.kind,
            "variant": self.variant,
            "name": self.name,
            "facts": self.facts.model_dump(mode="json"),
        }

    @classmethod
    def from_json(cls, sent: Json) -> GateResult:
        """Reads what `to_json` wrote."""
        kind, name = sent["kind"], sent["name"]
        facts = PlantedDelay if (kind, name) == (SELF_TEST, PLANTED_DELAY) else _FACTS[kind]
        return cls(kind, sent["variant"], name, facts.model_validate(sent["facts"]))


def list_expected_checks(suite: Suite) -> list[CheckKey]:
    """Every check that a complete run of a suite makes."""
    return [key for name in suite.models for _, key in _list_checks(suite, name)]


def list_budgeted_checks(suite: Suite, name: str) -> list[tuple[str, CheckKey]]:
    """(quantity, key) of each check of a model that has a budget; checks may share a quantity."""
    return [(quantity, key) for quantity, key in _list_checks(suite, name) if quantity is not None]


def describe_ungated(suite: Suite) -> str | None:
    """Why a suite gates nothing; None if a variant that gates has a budget."""
    gated = [name for name in suite.variants if suite.model(name).gated]
    if any(list_budgeted_checks(suite, name) for name in gated):
        return None
    return NO_BUDGET if gated else "none of its variants is gated"


def _list_checks(suite: Suite, name: str) -> Iterator[tuple[str | None, CheckKey]]:
    """The checks of a model, each after the quantity that its budget limits; None if it has no budget."""
    budgets = suite.find_budgets(name)
    for metric in suite.list_judged_metrics(name):
        yield metric if metric in budgets.quality else None, CheckKey(QUALITY, name, metric)
    for metric in budgets.baseline:
        yield f"{BASELINE} {metric}", CheckKey(SINCE, name, metric)
    if name == TEACHER:
        for test in SELF_TESTS:
            if test != PLANTED_DELAY or not suite.teacher.is_endpoint:
                yield None, CheckKey(SELF_TEST, name, test)
    else:
        yield from _list_variant_checks(suite, name, budgets)
    for workload in suite.list_timed_workloads(name):
        quantity = _name_time(workload.id, budgets.find_time_budgets(workload))
        yield quantity, CheckKey(LATENCY, name, workload.id)


def _list_variant_checks(
    suite: Suite, name: str, budgets: VariantBudgets
) -> Iterator[tuple[str | None, CheckKey]]:
    """The checks that a variant has and the teacher has not, each after its quantity."""
    is_on_rows = budgets.behaviour.flips or budgets.behaviour.sliced_metrics
    behaviour = "flips and slices" if is_on_rows else " and ".join(budgets.behaviour.tokens)
    yield behaviour if budgets.behaviour != BehaviourBudgets() else None, CheckKey(BEHAVIOUR, name, "")
    if suite.is_sized(name):
        yield "size" if budgets.size or budgets.quantized else None, CheckKey(SIZE, name, "")
    if suite.has_memory(name):
        yield "memory" if budgets.memory else None, CheckKey(MEMORY, name, "")
    if budgets.flops is not None:
        yield FLOPS, CheckKey(FLOPS, name, "")
    for figure in suite.list_measurements(name):
        yield f"{MEASUREMENT} {figure}", CheckKey(MEASUREMENT, name, figure)
    for workload in suite.list_dueled_workloads(name):
        quantity = _name_time(workload.id, budgets.find_speed_budget(workload))
        yield quantity, CheckKey(SPEEDUP, name, workload.id)
    for load in suite.loads if suite.is_loaded(name) else ():
        yield _name_time(load.id, budgets.find_speed_budget(load)), CheckKey(SPEEDUP, name, load.id)
        yield _name_time(load.id, budgets.find_time_budgets(load)), CheckKey(LATENCY, name, load.id)


def _name_time(workload: str, budgets: object) -> str | None:
    """The quantity of the budgets on a workload or load; None if it has none."""
    return f"{LATENCY} {workload}" if budgets else None


class GateResults:
    """The results of one suite by key; a newer one replaces an older one of its key."""

    def __init__(
        self,
        earlier: Iterable[GateResult] = (),
        *,
        made_from: Callable[[str], Iterable[str]] = lambda _: (),
    ) -> None:
        """earlier: results of an earlier run that are still valid.

        made_from(name): the variants that are built from a model.
        """
        self._made_from = made_from
        # By kind, variant and name, because a search in all results for each of 1,000 variants takes minutes.
        self._results: dict[str, dict[str, dict[str, GateResult]]] = {}
        self._carried: set[CheckKey] = set()
        for result in earlier:
            self.add(result)
            self._carried.add(result.key)

    def add(self, new: GateResult) -> None:
        """Adds a result. If the artifact has changed, drops what was measured on the old one.

        What the user's code has read is added to what it has read before.
        """
        old = self._map_by_name(new.kind, new.variant).get(new.name)
        builds = [result.facts for result in (old, new) if result and isinstance(result.facts, BuildFacts)]
        if len({build.artifact.digest for build in builds}) > 1:
            self._forget(new.variant)
        if old is not None and isinstance(old.facts, CodeReads) and isinstance(new.facts, CodeReads):
            new = replace(new, facts=CodeReads(states={**new.facts.states, **old.facts.states}))
        self._map_by_name(ERROR, new.variant).pop(EARLIER, None)
        self._carried.discard(new.key)
        self._results.setdefault(new.kind, {}).setdefault(new.variant, {})[new.name] = new

    def _map_by_name(self, kind: str, variant: str) -> dict[str, GateResult]:
        return self._results.get(kind, {}).get(variant, {})

    def _forget(self, variant: str) -> None:
        if variant == TEACHER:
            self._results.clear()
        for by_variant in self._results.values():
            by_variant.pop(variant, None)
        made_from_it = set(self._made_from(variant))
        for key in [key for key in self._carried if key.model in made_from_it]:
            self._map_by_name(key.kind, key.model).pop(key.name, None)

    def forget_error(self, test: str) -> None:
        """Drops the error of a test that has run again."""
        for errors in self._results.get(ERROR, {}).values():
            errors.pop(test, None)

    def has(self, key: CheckKey) -> bool:
        """Whether a check has reported."""
        return key.name in self._map_by_name(key.kind, key.model)

    def is_new(self, key: CheckKey) -> bool:
        """Whether a check has reported in this run."""
        return self.has(key) and key not in self._carried

    def list_carried_results(self, variant: str, checks: Collection[CheckKey]) -> list[CarriedResult]:
        """The results of a model's checks that an earlier run measured, then its error, if there is one."""
        known = (result for kind in RESULTS for result in self._map_by_name(kind, variant).values())
        return [
            CarriedResult(
                kind=result.kind,
                name="" if result.kind == ERROR else result.name,
                measured=result.measured,
            )
            for result in known
            if result.key in self._carried and (result.key in checks or result.kind == ERROR)
        ]

    def list_facts(self, kind: str, variant: str) -> dict[str, Facts]:
        """The facts of a kind and variant by name."""
        return {name: result.facts for name, result in self._map_by_name(kind, variant).items()}

    def find_facts(self, kind: str, variant: str, name: str = "") -> Facts | None:
        """The facts of one key."""
        return self.list_facts(kind, variant).get(name)

    def find_build(self, variant: str) -> BuildFacts | None:
        """How a model was built; None if it was not."""
        return cast("BuildFacts | None", self.find_facts(BUILD, variant))

    def list_errors(self, variant: str) -> list[ErrorFacts]:
        """Why a model could not be built or measured."""
        return [cast("ErrorFacts", facts) for facts in self.list_facts(ERROR, variant).values()]

    def merge_latency(self, variant: str) -> dict[str, LatencyFacts]:
        """By workload the facts of test_latency and test_speedup, merged."""
        times, duels = self.list_facts(LATENCY, variant), self.list_facts(SPEEDUP, variant)
        return {
            workload: LatencyFacts.merge(
                cast("TimesFacts | None", times.get(workload)),
                cast("SpeedupFacts | None", duels.get(workload)),
            )
            for workload in dict.fromkeys([*times, *duels])
        }


def split_record(record: RunRecord) -> list[GateResult]:
    """Splits a record into results again, so that a partial run can replace some of them."""
    results: list[GateResult] = []
    for model in record.variants:
        if model.artifact is not None:
            build = BuildFacts.model_validate(model, from_attributes=True)
            results.append(GateResult(BUILD, model.name, "", build))
        for kind, name, facts in model.results():
            if isinstance(facts, LatencyFacts):
                times, speedup = facts.split()
                if times is not None:
                    results.append(GateResult(LATENCY, model.name, name, times))
                if speedup is not None:
                    results.append(GateResult(SPEEDUP, model.name, name, speedup))
            elif not isinstance(facts, TimeLimitFacts):  # the facts of the times contain these
                results.append(GateResult(kind, model.name, name, facts))
        results += [GateResult(CONFIRMED, model.name, name, facts) for name, facts in model.confirm.items()]
        if model.stages:
            results.append(GateResult(STAGES, model.name, "", StagesFacts(stages=model.stages)))
        if model.shapes is not None:
            results.append(GateResult(SHAPES, model.name, "", model.shapes))
        if model.error is not None:  # last: a later result of the model would remove the error
            error = ErrorFacts(message=model.error, log=model.error_log, measured=model.error_measured)
            results.append(GateResult(ERROR, model.name, EARLIER, error))
    if record.code_reads:
        results.append(GateResult(CODE_READS, TEACHER, "", CodeReads(states=record.code_reads)))
    for name in SELF_TESTS:
        self_test = getattr(record.self_test, name)
        if self_test is not None:
            results.append(GateResult(SELF_TEST, TEACHER, name, self_test))
    return results


def make_run_record(
    suite: Suite,
    task: TaskFactsRecord,
    results: GateResults,
    machine: Machine,
    *,
    command: str,
    inputs: Mapping[str, Mapping[str, str]] | None = None,
) -> RunRecord:
    """The record of a suite, made of the results so far.

    inputs: digests of what results depend on, by model and kind.
    """
    digests, checks = inputs or {}, dict.fromkeys(list_expected_checks(suite))
    variants = [
        _make_variant_record(
            suite, name, results, digests.get(name, {}), results.list_carried_results(name, checks)
        )
        for name in suite.models
    ]
    facts_by_test = {name: results.find_facts(SELF_TEST, TEACHER, name) for name in SELF_TESTS}
    self_test = SelfTest.model_validate({name: facts for name, facts in facts_by_test.items() if facts})
    missing = sum(not results.has(key) for key in checks)
    reads = results.find_facts(CODE_READS, TEACHER)
    return RunRecord(
        slimgate=slimgate.__version__,
        created=format_now(),
        command=command,
        machine=machine,
        suite=SuiteFacts(
            path=suite.shown,
            title=suite.title,
            digest=suite.digest,
            seeds=list(suite.seeds),
            commit=describe_commit(suite.path.parent),
            reference=suite.reference,
        ),
        task=task,
        variants=variants,
        self_test=self_test,
        verdict=judge_record(variants, self_test, missing),
        this_run=judge_this_run(variants, self_test, missing),
        code_reads=reads.states if isinstance(reads, CodeReads) else {},
    )


def list_awaited_budgets(suite: Suite, name: str, results: GateResults) -> list[str]:
    """The budgets of a variant that no test has reported yet, in words: metrics, flips and slices, size, …"""
    waiting = [quantity for quantity, key in list_budgeted_checks(suite, name) if not results.has(key)]
    return list(dict.fromkeys(waiting))


def _make_variant_record(
    suite: Suite, name: str, results: GateResults, inputs: Mapping[str, str], carried: list[CarriedResult]
) -> VariantRecord:
    variant, latency = suite.model(name), results.merge_latency(name)
    build, errors = results.find_build(name), results.list_errors(name)
    stages = results.find_facts(STAGES, name)
    speedups = {key: facts.speedup_interval for key, facts in latency.items() if facts.speedup_interval}
    return VariantRecord.model_validate(
        {
            "name": name,
            "parent": variant.parent or (str(variant.ref.text) if variant.ref else None),
            "twin": variant.twin,
            "gated": variant.gated,
            "reason": variant.reason,
            "from_store": build and build.from_store,
            "steps": build.steps if build else [],
            "stages": stages.stages if isinstance(stages, StagesFacts) else [],
            "claims": check_speed_claims(build.claims if build else [], speedups),
            "artifact": build and build.artifact,
            "inputs_digests": inputs,
            QUALITY: results.list_facts(QUALITY, name),
            SIZE: results.find_facts(SIZE, name, ""),
            BEHAVIOUR: results.find_facts(BEHAVIOUR, name),
            "latency": latency,
            MEMORY: results.find_facts(MEMORY, name),
            FLOPS: results.find_facts(FLOPS, name),
            "measurements": results.list_facts(MEASUREMENT, name),
            SHAPES: results.find_facts(SHAPES, name),
            "since_baseline": results.list_facts(SINCE, name),
            CONFIRMED: results.list_facts(CONFIRMED, name),
            "awaited": list_awaited_budgets(suite, name, results),
            "switched_off": [asdict(budget) for budget in suite.find_budgets(name).switched_off],
            "error": errors[0].message if errors else None,
            "error_log": next((facts.log for facts in errors if facts.log), None),
            "error_measured": errors[0].measured if errors else None,
            "carried": carried,
        }
    )
