"""Digests of what a result depends on, taken at the start of a run without building anything.

A result of an earlier run is carried over only while its digest is the same. The keys of the store already
name all that goes into a model and its answers: files, code, options, rows, library versions. A key of the
store holds the contents of the models before; here it holds their keys, so that nothing has to be built.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimgate.errors import SlimgateError
from slimgate.protocols import GATE
from slimgate.run import keys
from slimgate.run.build import Builder
from slimgate.run.run import SuiteRun
from slimgate.store.artifact import Artifact
from slimgate.store.store import Entry
from slimgate.suite.suite import TEACHER

# By kind of result; the digest of a variant that cannot be built now is missing, so nothing of it is kept.
Digests = Mapping[str, str]


class Inputs(Builder):
    """A builder that builds nothing: the digest of an artifact is the digest of all that would make it."""

    def _make(self, where: str, method: str, params: Any, key: Any, *others: Any, **more: Any) -> Artifact:  # noqa: ARG002
        digest = keys.to_key(key)
        # of an unknown kind the answers count as those of this processor, and so do the results of a record
        return Artifact(Entry(Path(digest), {"digest": digest, "kind": "unknown"}, False))


def inputs_digests(run: SuiteRun) -> dict[str, Digests]:
    """Of the teacher and every variant; empty for a model that cannot be built, or whose teacher cannot."""
    models = _models(run)
    if TEACHER not in models:
        return {name: {} for name in (TEACHER, *run.suite.variants)}
    return {
        name: keys.results_keys(run.suite, run.rows, name, models) if name in models else {}
        for name in (TEACHER, *run.suite.variants)
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
        found[name] = keys.answers_key(run.suite, run.rows, artifact, runtime, GATE, run.device)
    return found
