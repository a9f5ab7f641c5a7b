"""The page of the metrics: what each needs, its range, and how a drop in it is judged."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import slimgate.judge.metrics
from slimgate.judge import perplexity
from slimgate.judge.evidence import describe_contrast_method
from slimgate.judge.metrics import list_known_metrics, load_metric
from slimgate.judge.metrics.base import Metric
from tools.reference.markdown import format_code, format_contents, format_prose, format_table

HEAD = """\
`[measure] metrics` names those that are measured, `[budgets]` those that are gated. Two further ways to
name one: `"package.module:object"` for your own ([how](../own_step.md#your-own-metric)), and `"hub:NAME"`
for one of `evaluate`, which is reported and never gated.

Drops are in percentage points: 100 times the metric's own unit; of `perplexity` the percentage by which it
grew. Metrics that need `prediction` or `probabilities` are for classification. Other needs name
values that the [task](tasks.md) records per row. "Judged by": rows of a group count as one unit. "slices":
`[budgets.slices]` takes it."""


def make_metrics_page() -> str:
    """reference/metrics.md"""
    families = _list_families()
    about = {name: _read_docstring(name).split("\n\n")[0].replace("\n", " ") for name in families}
    parts = ["# Metrics", HEAD, format_contents(about, ("family", "what it is"))]
    for family, metrics in families.items():
        rows = [_format_row(name, load_metric(name)) for name in metrics]
        headers = ("metric", "needs", "better", "from, to", "judged by", "slices")
        parts += [f"## {family}", format_prose(_read_docstring(family)), format_table(headers, rows)]
    return "\n\n".join(parts) + "\n"


def describe_judging(metric: Metric) -> str:
    """How a drop in it is judged, as suite/budgets.py, judge/quality.py and evidence.py decide."""
    if not metric.resampled:
        return "not judged"
    if metric.correlated is not None and metric.correlated.kind == "pearson":
        return "no budget"
    if metric.documents is not None:
        return perplexity.METHOD
    return "Tango" if metric.per_row is not None else describe_contrast_method(metric)


def _list_families() -> dict[str, list[str]]:
    """File of metrics/ -> the names that it lists."""
    files = sorted(info.name for info in pkgutil.iter_modules(slimgate.judge.metrics.__path__))
    listed = {file: getattr(_import_family(file), "METRICS", {}) for file in files}
    return {
        file: [name for name in list_known_metrics() if name in names]
        for file, names in listed.items()
        if names
    }


def _import_family(family: str) -> ModuleType:
    return importlib.import_module(f"slimgate.judge.metrics.{family}")


def _read_docstring(family: str) -> str:
    return str(_import_family(family).__doc__)


def _format_row(name: str, metric: Metric) -> tuple[str, ...]:
    low, high = (f"{bound:g}".replace("inf", "∞") for bound in metric.value_range)
    better = "higher" if metric.higher_is_better else "lower"
    slices = "yes" if metric.per_row is not None else ""
    return (
        format_code(name),
        format_code(metric.needs),
        better,
        f"{low}, {high}",
        describe_judging(metric),
        slices,
    )
