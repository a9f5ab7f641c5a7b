"""Digests the inputs of each result at the start of a run, without building anything.

A result of an earlier run is carried over only while its digest is the same. The keys of the store already
cover all inputs of a model and its answers: files, code, options, rows, library versions. A key of the store
contains the digests of the models before; here it contains their keys, so nothing has to be built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slimgate._system.digests import digest_json
from slimgate.errors import SlimgateError
from slimgate.plugins.rows import GATE
from slimgate.results.checks import TEACHER
from slimgate.run import keys
from slimgate.run.answering_model import AnsweringModel
from slimgate.run.artifact_maker import ArtifactJob, BuildSettings
from slimgate.run.build import Builder
from slimgate.run.result_keys import make_results_keys
from slimgate.run.run import SuiteRun
from slimgate.store.store import Artifact, Entry
from slimgate.suite.suite import Suite

# By kind of result. A variant that cannot be built has no digest, so none of its results are carried over.
Digests = Mapping[str, str]


class KeyBuilder(Builder):
    """A builder that builds nothing: the key of an artifact takes the place of the artifact."""

    def _make_artifact(self, job: ArtifactJob) -> Artifact:
        digest = digest_json(job.key)
        # answers of an unknown kind count as this processor's, and so do the results of a record
        return Artifact(Entry(Path(digest), {"digest": digest, "kind": "unknown"}, from_store=False))


def digest_inputs(run: SuiteRun, *, threads: int) -> dict[str, Digests]:
    """The digests of the teacher and every variant; empty if the model or the teacher cannot be built.

    threads: the suite's. A process of xdist runs with a part of them, and its digests must be the same.
    """
    suite = replace(run.suite, threads=threads)
    models = _make_answer_keys(suite, run)
    if TEACHER not in models:
        return {name: {} for name in suite.models}
    return {
        name: make_results_keys(suite, run.rows, name, models) if name in models else {}
        for name in suite.models
    }


def _make_answer_keys(suite: Suite, run: SuiteRun) -> dict[str, str]:
    """For each model the key under which its answers to the gate rows would be stored."""
    builder = KeyBuilder(suite, run.rows, run.store, BuildSettings(run.device))
    answer_keys = {}
    for name in suite.models:
        try:
            artifact = builder.build(name).artifact
        except SlimgateError:  # its own tests say why
            continue
        model = AnsweringModel(suite, run.rows, artifact, suite.model(name).runtime, run.device)
        answer_keys[name] = keys.make_answers_key(model, GATE)
    return answer_keys
