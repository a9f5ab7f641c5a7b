"""Quality metrics, one family a file. A file lists them in `METRICS`; adding a file adds its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate._system.lazy_names import lazy_names

if TYPE_CHECKING:
    from slimgate.judge.metrics.base import Metric, value_of
    from slimgate.judge.metrics.registry import known_metrics, load_metric

__all__ = ["Metric", "known_metrics", "load_metric", "value_of"]
__getattr__ = lazy_names(
    __name__,
    {
        "Metric": "slimgate.judge.metrics.base",
        "known_metrics": "slimgate.judge.metrics.registry",
        "load_metric": "slimgate.judge.metrics.registry",
        "value_of": "slimgate.judge.metrics.base",
    },
)
