"""What only one kind of task has, such as how varied generated text is, beside the quality of each model."""

from __future__ import annotations

from slimgate._system.escape import escaped
from slimgate.record import BehaviourFacts, RunRecord, VariantRecord
from slimgate.report.figures import significant
from slimgate.report.standing import variants
from slimgate.report.tables import Column, blocks, table, without_empty

Found = tuple[VariantRecord, BehaviourFacts]


def task_figures(record: RunRecord) -> str:
    """A line a model, the teacher first; nothing where no variant has such figures."""
    found = [(one, one.behaviour) for one in variants(record) if one.behaviour and one.behaviour.figures]
    if not found:
        return ""
    what = {name: figure.what for _, facts in found for name, figure in facts.figures.items()}
    models = [escaped(record.variants[0].name), *(escaped(model.name) for model, _ in found)]
    columns = [*_quality(record, found), *(_figure(name, found) for name in what)]
    told = "\n".join(f"- {escaped(name)}: {escaped(words)}" for name, words in what.items())
    return blocks(table([Column("model", models), *without_empty(columns)]), told)


def _quality(record: RunRecord, found: list[Found]) -> list[Column]:
    """The metrics of each model, so that both are seen together."""
    models = [record.variants[0], *(model for model, _ in found)]
    names = dict.fromkeys(name for model in models for name in model.quality)
    return [
        Column(
            escaped(name),
            [significant(one.quality[name].value if name in one.quality else None) for one in models],
            right=True,
        )
        for name in names
    ]


def _figure(name: str, found: list[Found]) -> Column:
    figures = [facts.figures.get(name) for _, facts in found]
    teacher = next((figure.teacher for figure in figures if figure is not None), None)
    values = [teacher, *(None if figure is None else figure.variant for figure in figures)]
    return Column(escaped(name), [significant(value) for value in values], right=True)
