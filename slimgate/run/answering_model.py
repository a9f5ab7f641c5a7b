"""A model that answers the rows of a suite."""

from __future__ import annotations

from dataclasses import dataclass

from slimgate.run.rows import PreparedRows
from slimgate.store.store import Artifact
from slimgate.suite.named_plugin import SuiteRuntime
from slimgate.suite.suite import Suite


@dataclass(frozen=True)
class AnsweringModel:
    """An artifact in a runtime, on a device. suite, rows: what the answers to a split also depend on."""

    suite: Suite
    rows: PreparedRows
    artifact: Artifact
    runtime: SuiteRuntime
    device: str
