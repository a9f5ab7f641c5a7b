"""Step by step: what each step of a combination cost in quality and saved in size."""

from __future__ import annotations

from slimgate._system.escape import escaped
from slimgate.record import RunRecord, StageFacts, VariantRecord
from slimgate.report.figures import MISSING, count, duration, fixed, megabytes
from slimgate.report.standing import variants
from slimgate.report.tables import Column, blocks, folded, table, titled, without_empty

_EXPLAINED = """\
What each step on the way did, measured on the `selection` rows, which never judge. `change`: hundredths of
the first metric (percentage points, where it is a share), from the step before."""


def stages(record: RunRecord) -> str:
    """The section; nothing where no variant has more than one step."""
    found = [model for model in variants(record) if model.stages]
    if not found:
        return ""
    parts = [
        folded(model.name, _course(model), blocks(_table(model.stages), _twin(record, model)))
        for model in found
    ]
    return titled("### Step by step", blocks(_EXPLAINED, *parts))


def _course(model: VariantRecord) -> str:
    """`, 3 stages, 87.1 MB to 17.8 MB`."""
    first, last = model.stages[0], model.stages[-1]
    return f", {count(len(model.stages))} stages, {megabytes(first.bytes)} MB to {megabytes(last.bytes)} MB"


def _table(found: list[StageFacts]) -> str:
    metrics = list(dict.fromkeys(metric for stage in found for metric in stage.selection))
    first = metrics[0] if metrics else ""
    values = [stage.selection.get(first) for stage in found]
    columns = [
        Column("stage", [_name(stage) for stage in found]),
        *(
            Column(metric, [fixed(stage.selection.get(metric), 4) for stage in found], right=True)
            for metric in metrics
        ),
        Column("change", _changes(values), right=True),
        Column("files, MB", [megabytes(stage.bytes) for stage in found], right=True),
        Column("of the start", [_share(stage.bytes, found[0].bytes) for stage in found], right=True),
        Column("parameters", [count(stage.parameters) for stage in found], right=True),
        Column("nonzero", [count(stage.nonzero_parameters) for stage in found], right=True),
        Column("built in", [duration(stage.seconds) for stage in found], right=True),
        Column(
            "note", [MISSING if stage.note is None else escaped(stage.note, longest=160) for stage in found]
        ),
    ]
    return table(without_empty(columns))


def _name(stage: StageFacts) -> str:
    return (
        escaped(stage.variant) if stage.step is None else f"{escaped(stage.variant)}: {escaped(stage.step)}"
    )


def _changes(values: list[float | None]) -> list[str]:
    before = [None, *values[:-1]]
    return [
        MISSING if old is None or new is None else f"{100 * (new - old):+.1f}"
        for old, new in zip(before, values, strict=True)
    ]


def _share(size: int, start: int) -> str:
    return f"{100 * size / start:.1f} %"


def _twin(record: RunRecord, model: VariantRecord) -> str:
    """What the variant's twin, the same without the step that is asked about, reached on the gate rows."""
    twin = next((other for other in record.variants if other.name == model.twin), None)
    if twin is None:
        return ""
    told = [
        f"{escaped(metric)} {fixed(facts.value, 4)} against {fixed(twin.quality[metric].value, 4)}"
        f" ({100 * (facts.value - twin.quality[metric].value):+.1f} points)"
        for metric, facts in model.quality.items()
        if metric in twin.quality
    ]
    return f"Its twin {escaped(twin.name)}, on the gate rows: {'; '.join(told)}." if told else ""
