"""What a budget can judge of a model: one result a check, whatever it measures."""

from __future__ import annotations

from typing import NamedTuple

from slimgate.judge.behaviour_parts import BehaviourFacts
from slimgate.record.machine import FlopsFacts, LatencyFacts, MemoryFacts, SizeFacts, TimeLimitFacts
from slimgate.record.quality import QualityFacts
from slimgate.record.since_baseline import SinceFacts
from slimgate.record.tool_files import KlLogFacts, LoadTestFacts
from slimgate.suite.variant_budgets import BASELINE, LATENCY

# The kinds of results, as checks and parts are called; run_verdict.py has those that no budget judges here.
QUALITY, BEHAVIOUR, SIZE, MEMORY, SPEEDUP = "quality", "behaviour", "size", "memory", "speedup"
SINCE = "since"  # a metric beside that of the baseline
TIMES = "latency"  # a model's own times
FLOPS = "flops"
LOAD_TEST = "load_test"  # of a server, by another tool
KL_LOG = "kl_log"
JudgedFacts = (
    QualityFacts
    | SinceFacts
    | BehaviourFacts
    | SizeFacts
    | MemoryFacts
    | FlopsFacts
    | LatencyFacts
    | TimeLimitFacts
    | LoadTestFacts
    | KlLogFacts
)
_OF = {SINCE: BASELINE, SPEEDUP: LATENCY, LOAD_TEST: LATENCY}


class Result(NamedTuple):
    """A result of one check. name: the metric or the workload, else what tells the check from others."""

    kind: str
    name: str
    facts: JudgedFacts

    @property
    def of(self) -> str:
        """What is judged, as [budgets] calls it: the metric, baseline, behaviour, size, memory, latency."""
        return self.name if self.kind == QUALITY else _OF.get(self.kind, self.kind)

    @property
    def detail(self) -> str | None:
        """The metric that is held against the baseline, the workload of a latency."""
        return self.name if self.kind in (SINCE, SPEEDUP, TIMES, LOAD_TEST) else None

    @property
    def title(self) -> str:
        """`accuracy`, `latency b1`, `baseline f1_macro`: what tells it from the model's other results."""
        return self.of if self.detail is None else f"{self.of} {self.detail}"
