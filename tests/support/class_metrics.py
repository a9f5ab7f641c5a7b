"""The metrics of classifications: those that read predictions or probabilities."""

from __future__ import annotations

from slimgate.judge.metrics import list_known_metrics, load_metric

CLASS_METRICS = tuple(
    name for name in list_known_metrics() if load_metric(name).needs in ("prediction", "probabilities")
)
