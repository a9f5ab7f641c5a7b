"""Digests of what a result depends on, taken at the start of a run without building anything.

A result of an earlier run is carried over only while its digest is the same. The keys of the store already
name all that goes into a model and its answers: files, code, options, rows, library versions. A key of the
store holds the contents of the models before; here it holds their keys, so that nothing has to be built.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from slimgate._system.digests import code_digest, json_digest, own_code_digest
from slimgate.errors import SlimgateError
from slimgate.protocols import GATE
from slimgate.record.results import SINCE
from slimgate.record.run_verdict import CONFIRMED, SELF_TEST
from slimgate.run.build import Builder
from slimgate.run.measure.quality import answers_key
from slimgate.run.rows import splits_key
from slimgate.run.run import SuiteRun
from slimgate.store.artifact import Artifact
from slimgate.store.store import Entry
from slimgate.suite.suite import TEACHER, Suite

# By kind of result; the digest of a variant that cannot be built now is missing, so nothing of it is kept.
Digests = Mapping[str, str]
MODEL = "model"
KINDS = (
    "quality",
    SINCE,
    CONFIRMED,
    "behaviour",
    "footprint",
    "memory",
    "flops",
    "latency",
    "speedup",
    SELF_TEST,
)
_JUDGED = frozenset({"quality", SINCE, CONFIRMED, "behaviour", SELF_TEST})
_TIMED = frozenset({"latency", "speedup", SELF_TEST})
# Keys of [measure] and kinds of budgets that only some kinds of results depend on; any other counts for all.
_ONLY_FOR: Mapping[str, frozenset[str]] = {
    "metrics": frozenset({"behaviour", SELF_TEST}),
    "workloads": _TIMED | {"memory"},
    "loads": _TIMED,
    "warmup": _TIMED,
    "rounds": _TIMED,
    "max_seconds": _TIMED,
    "end_to_end": _TIMED,
    "memory": frozenset({"memory"}),
    "quality": frozenset({"quality", CONFIRMED, SELF_TEST}),
    "behaviour": frozenset({"behaviour"}),
    "size": frozenset({"footprint"}),
    "speed": frozenset({"speedup"}),
    "part_speeds": frozenset({"speedup"}),
    "times": frozenset({"latency"}),
    "flops": frozenset({"flops"}),
    "baseline": frozenset({SINCE}),
    "switched_off": frozenset(),
}


class Inputs(Builder):
    """A builder that builds nothing: the digest of an artifact is the digest of all that would make it."""

    def _make(self, where: str, method: str, params: Any, key: Any, *others: Any, **more: Any) -> Artifact:  # noqa: ARG002
        digest = json_digest(key)
        # of an unknown kind the answers count as those of this processor, and so do the results of a record
        return Artifact(Entry(Path(digest), {"digest": digest, "kind": "unknown"}, False))


def inputs_digests(run: SuiteRun) -> dict[str, Digests]:
    """Of the teacher and every variant; empty for a model that cannot be built, or whose teacher cannot."""
    suite, models = run.suite, _models(run)
    if TEACHER not in models:
        return {name: {} for name in (TEACHER, *suite.variants)}
    common = {
        "slimgate": own_code_digest(),
        "rows": splits_key(suite),
        "slices": suite.setup.slices,
        "seeds": suite.seeds,
        "threads": suite.threads,
        "teacher": models[TEACHER],
        "family": None if suite.family is None else [suite.family, models],  # each verdict depends on all
    }
    metrics = _metrics(suite)
    return {
        name: _digests(suite, name, {**common, "model": models[name]}, metrics) if name in models else {}
        for name in (TEACHER, *suite.variants)
    }


def _models(run: SuiteRun) -> dict[str, str]:
    """By name the key under which a model's answers to the gate rows would be stored."""
    inputs = Inputs(run.suite, run.rows, run.store, device=run.device)
    found = {}
    for name in (TEACHER, *run.suite.variants):
        try:
            artifact = inputs.build(name).artifact
        except SlimgateError:  # its own tests say why
            continue
        runtime = run.suite.model(name).runtime
        found[name] = answers_key(run.suite, run.rows, artifact, runtime, GATE, run.device)
    return found


def _metrics(suite: Suite) -> dict[str, str]:
    """Code of every metric of a user's own that is measured or has a budget."""
    budgeted = [metric for own in suite.budgets.values() for metric in own.behaviour.sliced_metrics]
    names = dict.fromkeys([*suite.metrics, *budgeted])
    return {name: code_digest(name.partition(":")[0]) for name in names if _is_users(name)}


def _is_users(metric: str) -> bool:
    """Whether a metric is a user's "package.module:object"; slimgate's own are part of its code."""
    return ":" in metric and not metric.startswith("hub:")


def _digests(suite: Suite, name: str, common: Mapping[str, Any], metrics: Mapping[str, str]) -> Digests:
    """The digest of each kind of result, and of the model alone."""
    found = {MODEL: json_digest(common)}
    for kind in KINDS:
        code = metrics if kind in _JUDGED else {}
        found[kind] = json_digest({**common, "metrics": code, "settings": _settings(suite, name, kind)})
    return found


def _settings(suite: Suite, name: str, kind: str) -> dict[str, Any]:
    """What the suite says of [measure] and of budgets that this kind of result depends on."""
    budgets = suite.budgets if kind == SELF_TEST else {name: suite.budgets_of(name)}
    return {
        "measure": _relevant(suite.measure.model_dump(mode="json"), kind),
        "budgets": {of: _relevant(to_jsonable_python(own), kind) for of, own in budgets.items()},
    }


def _relevant(table: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if kind in _ONLY_FOR.get(key, (kind,))}
