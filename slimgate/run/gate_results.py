"""The parts that gates report, one for each test, and the record that is made of them.

A part is a JSON object {"kind", "variant", "name", "facts"}: small and plain, so that a worker process can
send it in a test report. Kinds: build, stages, shapes, quality, size, memory, flops,
latency, speedup, self_test, behaviour, since, confirm, error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from slimgate._system.git import describe_commit
from slimgate._system.timestamps import format_now
from slimgate.judge.behaviour_budgets import BehaviourBudgets
from slimgate.judge.verdict import Verdict
from slimgate.record import (
    BaselineFacts,
    CarriedResult,
    LatencyFacts,
    Machine,
    RunRecord,
    SelfTest,
    ShardFacts,
    SuiteFacts,
    TaskFactsRecord,
    TimeLimitFacts,
    VariantRecord,
)
from slimgate.record.results import BEHAVIOUR, FLOPS, MEMORY, QUALITY, SINCE, SIZE, SPEEDUP, TIMES
from slimgate.record.run_verdict import CONFIRMED, ERROR, SELF_TEST, Key, verdict, verdict_of_this_run
from slimgate.run.claims import check_speed_claims
from slimgate.run.self_tests import PLANTED_DELAY, SELF_TESTS
from slimgate.suite.suite import TEACHER, Suite
from slimgate.suite.variant_budgets import BASELINE, LATENCY

Part = dict[str, Any]
# The kinds of parts that are results; the others describe how a model was built.
RESULTS = (QUALITY, SINCE, BEHAVIOUR, SIZE, MEMORY, FLOPS, TIMES, SPEEDUP, SELF_TEST, ERROR)
EARLIER = "an earlier run"  # the name of an error whose test is not known any more
DUEL_KEYS = (
    "clearance",
    "speedup",
    "speedup_interval",
    "speedup_of_minima",
    "noise_floor",
    "duel_rounds",
    "duel_threads",
    "budgets",
    "verdict",
    "message",
)


def make_part(kind: str, variant: str, name: str, facts: Mapping[str, object]) -> Part:
    """One part of a record."""
    return {"kind": kind, "variant": variant, "name": name, "facts": dict(facts)}


def has_failing_verdict(part: Part) -> bool:
    """Whether a part explains why its test failed; a failed test without such a part is an error."""
    judged = (part["facts"], part["facts"].get("limits") or {})
    failing = [facts.get("verdict") in (Verdict.FAIL, Verdict.INCONCLUSIVE) for facts in judged]
    return part["kind"] == SELF_TEST or any(failing)


def list_expected_checks(suite: Suite) -> list[Key]:
    """Every check that a complete run of a suite makes."""
    return [key for name in (TEACHER, *suite.variants) for key, _ in _list_checks(suite, name)]


def list_budgeted_checks(suite: Suite, name: str) -> list[tuple[str, Key]]:
    """(judged quantity, key) of each check of a model that has a budget; checks may share a quantity."""
    return [(judged, key) for key, judged in _list_checks(suite, name) if judged is not None]


NO_BUDGET = "it has no budget"


def describe_ungated(suite: Suite) -> str | None:
    """Why a suite gates nothing; None if a variant that gates has a budget."""
    gated = [name for name in suite.variants if suite.model(name).gated]
    if any(list_budgeted_checks(suite, name) for name in gated):
        return None
    return NO_BUDGET if gated else "none of its variants is gated"


def _list_checks(suite: Suite, name: str) -> Iterator[tuple[Key, str | None]]:
    """The checks of a model, each with the quantity that its budget limits; None if it has no budget."""
    budgets = suite.find_budgets(name)
    for model, metric in suite.judged_metrics:
        if model == name:
            yield (QUALITY, name, metric), metric if metric in budgets.quality else None
    yield from (((SINCE, name, metric), f"{BASELINE} {metric}") for metric in budgets.baseline)
    if name == TEACHER:
        tests = (test for test in SELF_TESTS if test != PLANTED_DELAY or not suite.teacher.is_endpoint)
        yield from (((SELF_TEST, name, test), None) for test in tests)
    else:
        judged = budgets.behaviour != BehaviourBudgets()
        yield (BEHAVIOUR, name, ""), _format_behaviour(budgets.behaviour) if judged else None
        if name in suite.sized:
            yield (SIZE, name, ""), "size" if budgets.size or budgets.quantized else None
        if name in suite.variants_with_memory:
            yield (MEMORY, name, ""), "memory" if budgets.memory else None
        if budgets.flops is not None:
            yield (FLOPS, name, ""), FLOPS
        for workload in suite.list_dueled_workloads(name):
            yield (
                (SPEEDUP, name, workload.id),
                f"{LATENCY} {workload.id}" if budgets.find_speed_budget(workload) else None,
            )
        for load in suite.loads if name in suite.loaded else ():
            yield (
                (SPEEDUP, name, load.id),
                f"{LATENCY} {load.id}" if budgets.find_speed_budget(load) else None,
            )
            yield (TIMES, name, load.id), f"{LATENCY} {load.id}" if budgets.find_time_budgets(load) else None
    for workload in suite.list_timed_workloads(name):
        yield (
            (TIMES, name, workload.id),
            f"{LATENCY} {workload.id}" if budgets.find_time_budgets(workload) else None,
        )


def _format_behaviour(budgets: BehaviourBudgets) -> str:
    return "flips and slices" if budgets.flips or budgets.sliced_metrics else " and ".join(budgets.tokens)


def format_key(key: Key) -> str:
    """A check in words: `quality int8 accuracy`."""
    return " ".join(word for word in key if word)


class Parts:
    """The parts of one suite by key; a newer part replaces an older one of its key."""

    def __init__(
        self, earlier: Iterable[Part] = (), *, made_from: Callable[[str], Iterable[str]] = lambda _: ()
    ) -> None:
        """earlier: parts of an earlier run that are still valid.

        made_from(name): the variants that are built from a model.
        """
        self._made_from = made_from
        # by kind, variant and name: searching all parts for each of a thousand variants takes minutes
        self._parts: dict[str, dict[str, dict[str, Part]]] = {}
        self._carried: set[Key] = set()
        for part in earlier:
            self.add(part)
            self._carried.add(find_key(part))

    def add(self, new: Part) -> None:
        """Adds a part. If the artifact has changed, drops what was measured on the old one."""
        kind, variant, name = new["kind"], new["variant"], new["name"]
        if kind == "build":
            old = self._parts_by_name(kind, variant).get(name)
            if old is not None and old["facts"]["artifact"]["digest"] != new["facts"]["artifact"]["digest"]:
                self._forget(variant)
        self._parts_by_name(ERROR, variant).pop(EARLIER, None)
        self._carried.discard(find_key(new))
        self._parts.setdefault(kind, {}).setdefault(variant, {})[name] = new

    def _parts_by_name(self, kind: str, variant: str) -> dict[str, Part]:
        return self._parts.get(kind, {}).get(variant, {})

    def _forget(self, variant: str) -> None:
        if variant == TEACHER:
            self._parts.clear()
        for by_variant in self._parts.values():
            by_variant.pop(variant, None)
        made_from_it = set(self._made_from(variant))
        for kind, name, name_of_result in [key for key in self._carried if key[1] in made_from_it]:
            self._parts_by_name(kind, name).pop(name_of_result, None)

    def forget_error(self, test: str) -> None:
        """Drops the error of a test that has run again."""
        for errors in self._parts.get("error", {}).values():
            errors.pop(test, None)

    def has(self, key: Key) -> bool:
        """Whether a check has reported."""
        kind, variant, name = key
        return name in self._parts_by_name(kind, variant)

    def is_new(self, key: Key) -> bool:
        """Whether a check has reported in this run."""
        return self.has(key) and key not in self._carried

    def carried_results(self, variant: str, checks: Collection[Key]) -> list[CarriedResult]:
        """The results of a model's checks that an earlier run measured, then its error, if there is one."""
        known = ((kind, variant, name) for kind in RESULTS for name in self._parts_by_name(kind, variant))
        keys = [key for key in known if key in self._carried and (key in checks or key[0] == ERROR)]
        return [
            CarriedResult(
                kind=kind,
                name="" if kind == ERROR else name,
                measured=self._parts_by_name(kind, variant)[name]["facts"].get("measured"),
            )
            for kind, _, name in keys
        ]

    def list_facts(self, kind: str, variant: str) -> dict[str, dict[str, Any]]:
        """The facts of a kind and variant by name."""
        return {name: part["facts"] for name, part in self._parts_by_name(kind, variant).items()}

    def find_facts(self, kind: str, variant: str, name: str = "") -> dict[str, Any] | None:
        """The facts of one key."""
        part = self._parts_by_name(kind, variant).get(name)
        return part["facts"] if part else None


def find_key(part: Part) -> Key:
    """The key of the check that a part belongs to."""
    return part["kind"], part["variant"], part["name"]


def split_record(record: RunRecord) -> list[Part]:
    """Splits a record into parts again, so that a partial run can replace some of them."""
    parts: list[Part] = []
    for v in record.variants:
        if v.artifact is not None:
            steps = [step.model_dump(mode="json") for step in v.steps]
            facts = {
                "steps": steps,
                "artifact": v.artifact.model_dump(mode="json"),
                "from_store": v.from_store,
                "claims": [claim.model_dump(mode="json") for claim in v.claims],
            }
            parts.append(make_part("build", v.name, "", facts))
        for kind, name, result in v.results():
            if isinstance(result, LatencyFacts):
                parts += _split_latency(v.name, name, result)
            elif not isinstance(result, TimeLimitFacts):  # the part of the times contains these
                parts.append(make_part(kind, v.name, name, result.model_dump(mode="json")))
        parts += [
            make_part(CONFIRMED, v.name, name, confirmed.model_dump(mode="json"))
            for name, confirmed in v.confirm.items()
        ]
        if v.stages:
            stages = [stage.model_dump(mode="json") for stage in v.stages]
            parts.append(make_part("stages", v.name, "", {"stages": stages}))
        if v.shapes is not None:
            parts.append(make_part("shapes", v.name, "", v.shapes.model_dump(mode="json")))
        if v.error is not None:  # last: a later part of the model would remove the error
            error_facts = {"message": v.error, "log": v.error_log, "measured": v.error_measured}
            parts.append(make_part(ERROR, v.name, EARLIER, error_facts))
    for name in SELF_TESTS:
        self_test = getattr(record.self_test, name)
        if self_test is not None:
            parts.append(make_part("self_test", TEACHER, name, self_test.model_dump(mode="json")))
    return parts


def _split_latency(variant: str, workload: str, times: LatencyFacts) -> list[Part]:
    """The parts that test_latency and test_speedup reported for one workload."""
    facts = times.model_dump(mode="json")
    duel_measured = facts.pop("duel_measured") or facts["measured"]
    duel = {key: facts.pop(key) for key in DUEL_KEYS}
    parts = [make_part("latency", variant, workload, facts)] if facts["p50_ms"] else []
    if duel["speedup"] is not None:
        parts.append(make_part(SPEEDUP, variant, workload, {**duel, "measured": duel_measured}))
    return parts


def _merge_latency(name: str, parts: Parts) -> dict[str, LatencyFacts]:
    """By workload the facts of test_latency and test_speedup, merged."""
    timed, duelled = parts.list_facts("latency", name), parts.list_facts(SPEEDUP, name)
    merged = {
        key: {
            **duelled.get(key, {}),
            **timed.get(key, {}),
            "duel_measured": duelled[key]["measured"] if key in duelled else None,
        }
        for key in [*timed, *duelled]
    }
    return {key: LatencyFacts.model_validate(facts) for key, facts in merged.items()}


def make_run_record(
    suite: Suite,
    task: TaskFactsRecord,
    parts: Parts,
    machine: Machine,
    *,
    command: str,
    seconds: float,
    version: str,
    inputs: Mapping[str, Mapping[str, str]] | None = None,
    baseline: BaselineFacts | None = None,
    shards: Iterable[ShardFacts] = (),
) -> RunRecord:
    """The record of a suite, made of the parts so far.

    inputs: digests of what results depend on, by model and kind.
    """
    digests, checks = inputs or {}, dict.fromkeys(list_expected_checks(suite))
    variants = [
        _make_variant_record(suite, name, parts, digests.get(name, {}), parts.carried_results(name, checks))
        for name in (TEACHER, *suite.variants)
    ]
    facts_by_test = {name: parts.find_facts("self_test", TEACHER, name) for name in SELF_TESTS}
    self_test = SelfTest.model_validate({name: facts for name, facts in facts_by_test.items() if facts})
    missing = sum(not parts.has(key) for key in checks)
    return RunRecord(
        slimgate=version,
        created=format_now(),
        command=command,
        seconds=round(seconds, 1),
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
        baseline=baseline,
        shards=list(shards),
        verdict=verdict(variants, self_test, missing),
        this_run=verdict_of_this_run(variants, self_test, missing),
    )


def list_awaited_budgets(suite: Suite, name: str, parts: Parts) -> list[str]:
    """The budgets of a variant that no test has reported yet, in words: metrics, flips and slices, size, …"""
    waiting = [judged for judged, key in list_budgeted_checks(suite, name) if not parts.has(key)]
    return list(dict.fromkeys(waiting))


def _make_variant_record(
    suite: Suite, name: str, parts: Parts, inputs: Mapping[str, str], carried: list[CarriedResult]
) -> VariantRecord:
    variant, latency = suite.model(name), _merge_latency(name, parts)
    build = parts.find_facts("build", name) or {}
    errors = list(parts.list_facts(ERROR, name).values())
    speedups = {key: facts.speedup_interval for key, facts in latency.items() if facts.speedup_interval}
    return VariantRecord.model_validate(
        {
            "name": name,
            "parent": variant.parent or (str(variant.ref.text) if variant.ref else None),
            "twin": variant.twin,
            "gated": variant.gated,
            "reason": variant.reason,
            "from_store": build.get("from_store"),
            "steps": build.get("steps", []),
            "stages": (parts.find_facts("stages", name) or {}).get("stages", []),
            "claims": check_speed_claims(build.get("claims", ()), speedups),
            "artifact": build.get("artifact"),
            "inputs_digests": inputs,
            QUALITY: parts.list_facts(QUALITY, name),
            SIZE: parts.find_facts(SIZE, name, ""),
            BEHAVIOUR: parts.find_facts(BEHAVIOUR, name),
            "latency": latency,
            MEMORY: parts.find_facts(MEMORY, name),
            FLOPS: parts.find_facts(FLOPS, name),
            "shapes": parts.find_facts("shapes", name),
            "since_baseline": parts.list_facts(SINCE, name),
            CONFIRMED: parts.list_facts(CONFIRMED, name),
            "awaited": list_awaited_budgets(suite, name, parts),
            "switched_off": [asdict(budget) for budget in suite.find_budgets(name).switched_off],
            "error": errors[0]["message"] if errors else None,
            "error_log": next((facts["log"] for facts in errors if facts.get("log")), None),
            "error_measured": errors[0].get("measured") if errors else None,
            "carried": carried,
        }
    )
