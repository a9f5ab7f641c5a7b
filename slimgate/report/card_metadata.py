"""The front matter of a model card: model-index in the form that the Hugging Face hub reads, unrounded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path, PurePath
from typing import Any

from slimgate._system.number_text import format_fixed, format_percent
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.record.shipping import format_model_status
from slimgate.results.quality import QualityFacts

LOAD = "load_model"
TAG = "slimgate"
# owner/name: the hub's form of a base model. A folder or a package does not have it.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def format_front_matter(record: RunRecord, model: VariantRecord, *, form: str | None) -> str:
    """YAML between lines of dashes. form: of an exported folder, as `slimgate export` names it.

    Its verdicts are over all budgets of the model, not over one metric.
    """
    from huggingface_hub import ModelCardData

    results = list(_list_eval_results(record, model))
    of_form = form or (model.artifact.kind if model.artifact else None)
    data = ModelCardData(
        base_model=find_base_model(record, model),
        library_name=form,
        pipeline_tag=_find_pipeline(record),
        tags=[TAG, "model-compression", *([of_form] if of_form else [])],
        datasets=[str(record.task.source["id"])] if _has_hub_rows(record) else None,
        metrics=list(model.quality) or None,
        model_name=model.name if results else None,
        eval_results=results or None,
        slimgate_verdict=format_model_status(record, model),
    )
    return f"---\n{data.to_yaml()}\n---"


def _find_pipeline(record: RunRecord) -> str | None:
    """The hub's name of the task. A dotted path is not imported: the record may be another person's."""
    kind = record.task.kind
    return load("task", kind).pipeline if kind in list_known_plugins("task") else None


def find_base_model(record: RunRecord, model: VariantRecord) -> str | None:
    """The hub's name of the model's base; None for a folder, a package or random weights."""
    made_from = find_origin(record, model)
    if made_from is None:
        return None
    name = made_from.partition("@")[0]
    # a suite may name its own folder "models/teacher", which has the form of a hub id
    local = PurePath(record.suite.path).parent / name
    return name if _HUB_ID.fullmatch(name) and not Path(local).exists() else None


def find_origin(record: RunRecord, model: VariantRecord) -> str | None:
    """The first model as the suite names it: hub id, folder or package:NAME/PATH."""
    for step_model in list_lineage(record, model):
        for step in step_model.steps:
            if step.name == LOAD:
                return str(step.params)
    return None


def list_lineage(record: RunRecord, model: VariantRecord) -> list[VariantRecord]:
    """The models from the first one to this one, in the order of the steps."""
    by_name = {model.name: model for model in record.variants}
    chain = [model]
    while (parent := by_name.get(chain[0].parent or "")) is not None and parent not in chain:
        chain.insert(0, parent)
    return chain


def name_rows(record: RunRecord) -> str:
    """The name of the rows: the hub's id, the folder's name, or the source's."""
    source = record.task.source
    identity = source.get("id")
    if identity and not _has_hub_rows(record):
        return PurePath(str(identity)).name
    return str(identity or _read_source_name(source))


def _read_source_name(source: Mapping[str, object]) -> str:
    return str(source.get("name", "unknown"))


def _has_hub_rows(record: RunRecord) -> bool:
    """Whether the rows are from the hub, not from a folder in its layout."""
    identity = str(record.task.source.get("id") or "")
    return _read_source_name(record.task.source) == "hub" and not PurePath(identity).is_absolute()


def name_gate_split(record: RunRecord) -> str:
    """The hub's name of the split that judged, if the suite states it; else "gate"."""
    named = record.task.source.get("splits")
    return str((named.get("gate") if isinstance(named, dict) else None) or "gate")


def _list_eval_results(record: RunRecord, model: VariantRecord) -> Iterator[Any]:
    from huggingface_hub import EvalResult

    source = record.task.source
    gate = record.task.splits.get("gate")
    for name, facts in model.quality.items():
        if not isfinite(facts.value):
            continue
        yield EvalResult(
            task_type=_find_pipeline(record) or record.task.kind,
            task_name=record.suite.title,
            dataset_type=name_rows(record),
            dataset_name=name_rows(record),
            dataset_config=source.get("config"),
            dataset_split=name_gate_split(record),
            dataset_revision=source.get("revision"),
            dataset_args={"rows": gate.n, "digest": gate.digest} if gate else None,
            metric_type=name,
            metric_name=_format_metric_name(name, facts, record.task.sides.original),
            metric_value=facts.value,
            metric_args=_list_metric_args(record, model, facts) or None,
        )


def _format_metric_name(name: str, facts: QualityFacts, original: str) -> str:
    """The metric's name with the interval of the drop, which the hub shows nowhere else."""
    if facts.drop_points is None or facts.interval is None or facts.level is None:
        return name
    if not all(map(isfinite, (facts.drop_points, *facts.interval))):
        return name
    low, high = (format_fixed(bound, 2) for bound in facts.interval)
    drop_words = "grown by" if facts.unit == "percent" else "drop"
    unit = "%" if facts.unit == "percent" else "points"
    level = f"{format_percent(facts.level, 0)} interval"
    drop = f"{format_fixed(facts.drop_points, 2)} {unit}"
    return f"{name} ({drop_words} {drop} against its {original}, {level} [{low}, {high}])"


def _list_metric_args(record: RunRecord, model: VariantRecord, facts: QualityFacts) -> dict[str, Any]:
    """The known figures; a figure that is not finite is left out, because JSON cannot hold it.

    verdict: over all budgets of the model; metric_verdict: over those on this metric.
    """
    judged = facts.verdict is not None
    arguments = {
        "rows": facts.n,
        "teacher": facts.teacher if facts.drop_points is not None else None,
        "drop": facts.drop_points,
        "drop_unit": facts.unit if facts.drop_points is not None else None,
        "drop_interval": None if facts.interval is None else list(facts.interval),
        "level": facts.level,
        "method": facts.method,
        "budgets": [f"{budget.kind} {budget.limit:g}" for budget in facts.budgets] or None,
        "verdict": format_model_status(record, model) if judged else None,
        "metric_verdict": str(facts.verdict) if judged else None,
        "gated": model.gated if judged else None,
    }
    return {key: value for key, value in arguments.items() if value is not None and _is_finite(value)}


def _is_finite(value: object) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(isfinite(number) for number in numbers if isinstance(number, float))
