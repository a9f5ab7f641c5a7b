"""Quality metrics, one family a file. A file lists them in `METRICS`; adding a file adds its metrics."""

from __future__ import annotations

from slimgate.judge.metrics.base import Metric, value_of
from slimgate.judge.metrics.registry import known_metrics, load_metric

__all__ = ["Metric", "known_metrics", "load_metric", "value_of"]
