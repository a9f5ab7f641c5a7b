"""The kinds of results, the key of a check, and a result of any kind that a budget may limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from slimgate.results.behaviour import BehaviourFacts
from slimgate.results.facts import Facts, JudgedFacts
from slimgate.results.figures import FlopsFacts, MeasurementFacts, MemoryFacts, SizeFacts
from slimgate.results.latency import SpeedupFacts, TimesFacts
from slimgate.results.quality import QualityFacts, SinceFacts
from slimgate.results.self_test import SelfTestFacts

# The kinds of results. They are also the names of checks.
QUALITY, BEHAVIOUR, SIZE, MEMORY, SPEEDUP = "quality", "behaviour", "size", "memory", "speedup"
SINCE = "since"  # a metric compared with the baseline's
LATENCY = "latency"  # a model's own times; also the table of [budgets] on times and speed-ups
FLOPS = "flops"
MEASUREMENT = "measurement"  # a figure that a plug-in measures
LOAD_TEST = "load_test"  # a load test of a server by another tool
KL_LOG = "kl_log"
CONFIRMED = "confirm"  # a metric on the rows of the split confirm
# No budget judges these.
SELF_TEST = "self_test"
ERROR = "error"
# The tables of [budgets] that differ in name from their results.
BASELINE, MEASUREMENTS = "baseline", "measurements"

# The name of the first model of a suite and of a record.
TEACHER = "teacher"


class CheckKey(NamedTuple):
    """What identifies a check. name: the metric, workload or self-test; "" if a model has one such check."""

    kind: str
    model: str
    name: str


# The facts of each kind of result that a suite can have.
FACTS: Mapping[str, type[Facts]] = {
    QUALITY: QualityFacts,
    CONFIRMED: QualityFacts,
    SINCE: SinceFacts,
    BEHAVIOUR: BehaviourFacts,
    SIZE: SizeFacts,
    MEMORY: MemoryFacts,
    FLOPS: FlopsFacts,
    MEASUREMENT: MeasurementFacts,
    LATENCY: TimesFacts,
    SPEEDUP: SpeedupFacts,
    SELF_TEST: SelfTestFacts,  # of planted_delay: PlantedDelay
}
# The table of [budgets] that judges a kind of result, if it has another name.
_TABLE_OF = {SINCE: BASELINE, SPEEDUP: LATENCY, LOAD_TEST: LATENCY}


class Result(NamedTuple):
    """A result of one check. name: the metric or workload, or what distinguishes it from other checks."""

    kind: str
    name: str
    facts: JudgedFacts

    @property
    def subject(self) -> str:
        """The subject of the verdict in [budgets]: the metric, baseline, behaviour, size, measurement, …"""
        return self.name if self.kind == QUALITY else _TABLE_OF.get(self.kind, self.kind)

    @property
    def detail(self) -> str | None:
        """The metric that is compared with the baseline, the workload of a latency, or the measurement."""
        return self.name if self.kind in (SINCE, SPEEDUP, LATENCY, LOAD_TEST, MEASUREMENT) else None

    @property
    def title(self) -> str:
        """`accuracy`, `latency b1`, `baseline f1_macro`: unique among the results on the gate rows."""
        return self.subject if self.detail is None else f"{self.subject} {self.detail}"
