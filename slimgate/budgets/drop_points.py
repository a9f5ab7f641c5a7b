"""The drop is under limit / 100; for all metrics but perplexity."""

from __future__ import annotations

from slimgate.budgets.base import MetricBudgetKind, has_drop_in_points

kind = MetricBudgetKind(
    name="drop_points",
    order=0,
    question="drop",
    key="Percentage points that the metric may lose.",
    at_most=100.0,
    limit="drop at most {:g} points",
    suits=has_drop_in_points,
    why_not="the metric grows by a factor and has no points",
    allowed_drop=lambda limit, _teacher: limit / 100,
)
