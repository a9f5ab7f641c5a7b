"""Quality metrics, one family a file. A file lists them in `METRICS`; adding a file adds its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimgate._system.lazy_names import make_lazy_getattr

if TYPE_CHECKING:
    from slimgate.judge.metrics.base import Metric, compute_value
    from slimgate.judge.metrics.registry import list_known_metrics, load_metric

__all__ = ["Metric", "compute_value", "list_known_metrics", "load_metric"]
__getattr__ = make_lazy_getattr(
    __name__,
    {
        "Metric": "slimgate.judge.metrics.base",
        "list_known_metrics": "slimgate.judge.metrics.registry",
        "load_metric": "slimgate.judge.metrics.registry",
        "compute_value": "slimgate.judge.metrics.base",
    },
)
