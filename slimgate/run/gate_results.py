"""The parts that gates report, one a test, and how they are put together to a record.

A part is a JSON object {"kind", "variant", "name", "facts"}: small and plain, so that it can travel from
a worker process in a test report. Kinds: build, stages, shapes, quality, footprint, memory, flops,
latency, speedup, self_test, behaviour, since, confirm, error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from slimgate.judge.behaviour import BehaviourBudgets
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
from slimgate.record.results import BEHAVIOUR, FLOPS, FOOTPRINT, MEMORY, QUALITY, SINCE, SPEEDUP, TIMES
from slimgate.record.run_verdict import CONFIRMED, ERROR, SELF_TEST, Key, verdict, verdict_of_this_run
from slimgate.run.claims import with_times
from slimgate.suite.suite import TEACHER, Suite
from slimgate.suite.variant_budgets import BASELINE, LATENCY

Part = dict[str, Any]
PLANTED_DELAY = "planted_delay"
SELF_TESTS = ("identical", "planted_fault", PLANTED_DELAY)
# The kinds of parts that are results; the others say how a model came about.
RESULTS = (QUALITY, SINCE, BEHAVIOUR, FOOTPRINT, MEMORY, FLOPS, TIMES, SPEEDUP, SELF_TEST, ERROR)
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


def part(kind: str, variant: str, name: str, facts: Mapping[str, Any]) -> Part:
    """One part, stamped with the time."""
    return {"kind": kind, "variant": variant, "name": name, "facts": dict(facts)}


def fails_by_verdict(one: Part) -> bool:
    """Whether a part says why its test failed; a test that failed without such a part is an error."""
    judged = (one["facts"], one["facts"].get("limits") or {})
    found = [facts.get("verdict") in (Verdict.FAIL, Verdict.INCONCLUSIVE) for facts in judged]
    return one["kind"] == SELF_TEST or any(found)


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def expected_checks(suite: Suite) -> list[Key]:
    """Every check that a whole run of a suite makes."""
    return [key for name in (TEACHER, *suite.variants) for key, _ in _checks(suite, name)]


def budgeted_checks(suite: Suite, name: str) -> list[tuple[str, Key]]:
    """The checks of a model that have a budget, each after what it judges, which two checks may share."""
    return [(what, key) for key, what in _checks(suite, name) if what is not None]


def _checks(suite: Suite, name: str) -> Iterator[tuple[Key, str | None]]:
    """The checks of a model, each with what it judges in words; None where it has no budget."""
    own = suite.budgets_of(name)
    for model, metric in suite.judged_metrics:
        if model == name:
            yield (QUALITY, name, metric), metric if metric in own.quality else None
    yield from (((SINCE, name, metric), f"{BASELINE} {metric}") for metric in own.baseline)
    if name == TEACHER:
        tests = (test for test in SELF_TESTS if test != PLANTED_DELAY or not suite.teacher.is_endpoint)
        yield from (((SELF_TEST, name, test), None) for test in tests)
    else:
        judged = own.behaviour != BehaviourBudgets()
        yield (BEHAVIOUR, name, ""), _behaviour_words(own.behaviour) if judged else None
        if name in suite.sized:
            yield (FOOTPRINT, name, "size"), "size" if own.size else None
        if name in suite.variants_with_memory:
            yield (MEMORY, name, ""), "memory" if own.memory else None
        if own.flops is not None:
            yield (FLOPS, name, ""), FLOPS
        for one in suite.dueled_on(name):
            yield (SPEEDUP, name, one.id), f"{LATENCY} {one.id}" if own.speed_of(one) else None
        for load in suite.loads if name in suite.loaded else ():
            yield (SPEEDUP, name, load.id), f"{LATENCY} {load.id}" if own.speed_of(load) else None
            yield (TIMES, name, load.id), f"{LATENCY} {load.id}" if own.times_of(load) else None
    for one in suite.timed_on(name):
        yield (TIMES, name, one.id), f"{LATENCY} {one.id}" if own.times_of(one) else None


def _behaviour_words(own: BehaviourBudgets) -> str:
    return "flips and slices" if own.flips or own.sliced_metrics else " and ".join(own.tokens)


def format_key(key: Key) -> str:
    """A check in words: `quality int8 accuracy`."""
    return " ".join(word for word in key if word)


class Parts:
    """The parts of one suite by key; a newer part replaces an older one of its key."""

    def __init__(
        self, earlier: Iterable[Part] = (), *, made_from: Callable[[str], Iterable[str]] = lambda _: ()
    ) -> None:
        """earlier: parts that an earlier run measured and that are still valid.

        made_from(name): the variants that are built from a model.
        """
        self._made_from = made_from
        # by kind, variant and name: looking through all parts for each of a thousand variants takes minutes
        self._parts: dict[str, dict[str, dict[str, Part]]] = {}
        self._carried: set[Key] = set()
        for one in earlier:
            self.add(one)
            self._carried.add(key_of(one))

    def add(self, new: Part) -> None:
        """Adds a part. Another artifact than before makes what was measured on the old one void."""
        kind, variant, name = new["kind"], new["variant"], new["name"]
        if kind == "build":
            old = self._parts_by_name(kind, variant).get(name)
            if old is not None and old["facts"]["artifact"]["digest"] != new["facts"]["artifact"]["digest"]:
                self._forget(variant)
        self._parts_by_name(ERROR, variant).pop(EARLIER, None)
        self._carried.discard(key_of(new))
        self._parts.setdefault(kind, {}).setdefault(variant, {})[name] = new

    def _parts_by_name(self, kind: str, variant: str) -> dict[str, Part]:
        return self._parts.get(kind, {}).get(variant, {})

    def _forget(self, variant: str) -> None:
        if variant == TEACHER:
            self._parts.clear()
        for by_variant in self._parts.values():
            by_variant.pop(variant, None)
        made_from_it = set(self._made_from(variant))
        for kind, name, which in [key for key in self._carried if key[1] in made_from_it]:
            self._parts_by_name(kind, name).pop(which, None)

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
        """Of the checks of a model the results that an earlier run measured, then the error that it met."""
        known = ((kind, variant, name) for kind in RESULTS for name in self._parts_by_name(kind, variant))
        found = [key for key in known if key in self._carried and (key in checks or key[0] == ERROR)]
        return [
            CarriedResult(
                kind=kind,
                name="" if kind == ERROR else name,
                measured=self._parts_by_name(kind, variant)[name]["facts"].get("measured"),
            )
            for kind, _, name in found
        ]

    def of(self, kind: str, variant: str) -> dict[str, dict[str, Any]]:
        """The facts of a kind and variant by name."""
        return {name: part["facts"] for name, part in self._parts_by_name(kind, variant).items()}

    def one(self, kind: str, variant: str, name: str = "") -> dict[str, Any] | None:
        """The facts of one key."""
        found = self._parts_by_name(kind, variant).get(name)
        return found["facts"] if found else None


def key_of(part: Part) -> Key:
    """The check that a part is of."""
    return part["kind"], part["variant"], part["name"]


def parts_of(record: RunRecord) -> list[Part]:
    """A record taken apart again, so that a partial run can fill its parts in."""
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
            parts.append(part("build", v.name, "", facts))
        for kind, name, found in v.results():
            if isinstance(found, LatencyFacts):
                parts += _latency_parts(v.name, name, found)
            elif not isinstance(found, TimeLimitFacts):  # which are in the part of the times
                parts.append(part(kind, v.name, name, found.model_dump(mode="json")))
        parts += [
            part(CONFIRMED, v.name, name, found.model_dump(mode="json")) for name, found in v.confirm.items()
        ]
        if v.stages:
            stages = [stage.model_dump(mode="json") for stage in v.stages]
            parts.append(part("stages", v.name, "", {"stages": stages}))
        if v.shapes is not None:
            parts.append(part("shapes", v.name, "", v.shapes.model_dump(mode="json")))
        if v.error is not None:  # the last: what comes later of a model speaks against it
            met = {"message": v.error, "log": v.error_log, "measured": v.error_measured}
            parts.append(part(ERROR, v.name, EARLIER, met))
    for name in SELF_TESTS:
        one = getattr(record.self_test, name)
        if one is not None:
            parts.append(part("self_test", TEACHER, name, one.model_dump(mode="json")))
    return parts


def _latency_parts(variant: str, workload: str, times: LatencyFacts) -> list[Part]:
    """What test_latency and what test_speedup reported of one workload, each where it did."""
    facts = times.model_dump(mode="json")
    duel_measured = facts.pop("duel_measured") or facts["measured"]
    duel = {key: facts.pop(key) for key in DUEL_KEYS}
    parts = [part("latency", variant, workload, facts)] if facts["p50_ms"] else []
    if duel["speedup"] is not None:
        parts.append(part(SPEEDUP, variant, workload, {**duel, "measured": duel_measured}))
    return parts


def _latency(name: str, parts: Parts) -> dict[str, LatencyFacts]:
    """By workload what test_latency and test_speedup reported, put together."""
    timed, duelled = parts.of("latency", name), parts.of(SPEEDUP, name)
    merged = {
        key: {
            **duelled.get(key, {}),
            **timed.get(key, {}),
            "duel_measured": duelled[key]["measured"] if key in duelled else None,
        }
        for key in [*timed, *duelled]
    }
    return {key: LatencyFacts.model_validate(facts) for key, facts in merged.items()}


def compose(
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
    """The record of a suite from the parts that have reported.

    inputs: digests of what results depend on, by model and kind.
    """
    digests, checks = inputs or {}, dict.fromkeys(expected_checks(suite))
    variants = [
        _variant(suite, name, parts, digests.get(name, {}), parts.carried_results(name, checks))
        for name in (TEACHER, *suite.variants)
    ]
    self_test = _self_test(parts)
    missing = sum(not parts.has(key) for key in checks)
    return RunRecord(
        slimgate=version,
        created=now(),
        command=command,
        seconds=round(seconds, 1),
        machine=machine,
        suite=_suite_facts(suite),
        task=task,
        variants=variants,
        self_test=self_test,
        baseline=baseline,
        shards=list(shards),
        verdict=verdict(variants, self_test, missing),
        this_run=verdict_of_this_run(variants, self_test, missing),
    )


def _suite_facts(suite: Suite) -> SuiteFacts:
    return SuiteFacts(
        path=suite.shown,
        title=suite.title,
        digest=suite.digest,
        seeds=list(suite.seeds),
        reference=suite.reference,
    )


def awaited_budgets(suite: Suite, name: str, parts: Parts) -> list[str]:
    """What of a variant has a budget and has not reported, in words: metrics, flips and slices, size, …"""
    waiting = [what for what, key in budgeted_checks(suite, name) if not parts.has(key)]
    return list(dict.fromkeys(waiting))


def _variant(
    suite: Suite, name: str, parts: Parts, inputs: Mapping[str, str], carried: list[CarriedResult]
) -> VariantRecord:
    variant, latency = suite.model(name), _latency(name, parts)
    build = parts.one("build", name) or {}
    errors = list(parts.of(ERROR, name).values())
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
            "stages": (parts.one("stages", name) or {}).get("stages", []),
            "claims": with_times(build.get("claims", ()), speedups),
            "artifact": build.get("artifact"),
            "inputs_digests": inputs,
            QUALITY: parts.of(QUALITY, name),
            FOOTPRINT: parts.one(FOOTPRINT, name, "size"),
            BEHAVIOUR: parts.one(BEHAVIOUR, name),
            "latency": latency,
            MEMORY: parts.one(MEMORY, name),
            FLOPS: parts.one(FLOPS, name),
            "shapes": parts.one("shapes", name),
            "since_baseline": parts.of(SINCE, name),
            CONFIRMED: parts.of(CONFIRMED, name),
            "awaited": awaited_budgets(suite, name, parts),
            "switched_off": [asdict(one) for one in suite.budgets_of(name).switched_off],
            "error": errors[0]["message"] if errors else None,
            "error_log": next((facts["log"] for facts in errors if facts.get("log")), None),
            "error_measured": errors[0].get("measured") if errors else None,
            "carried": carried,
        }
    )


def _self_test(parts: Parts) -> SelfTest:
    found = {name: parts.one("self_test", TEACHER, name) for name in SELF_TESTS}
    return SelfTest.model_validate({name: facts for name, facts in found.items() if facts})
