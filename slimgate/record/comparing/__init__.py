"""The changes between two releases: two records in, a comparison out. Imports no torch."""

from __future__ import annotations

from slimgate.record.comparing.facts import (
    BudgetChange,
    Comparison,
    LatencyChange,
    MeasurementChange,
    MetricChange,
    ModelChange,
    Moved,
    Outcome,
    Release,
    SizeChange,
    SliceChange,
    VerdictChange,
)
from slimgate.record.comparing.releases import compare

__all__ = [
    "BudgetChange",
    "Comparison",
    "LatencyChange",
    "MeasurementChange",
    "MetricChange",
    "ModelChange",
    "Moved",
    "Outcome",
    "Release",
    "SizeChange",
    "SliceChange",
    "VerdictChange",
    "compare",
]
