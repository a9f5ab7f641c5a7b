"""The alarms under the verdict, for readers who read no further."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escape
from slimgate._system.number_text import format_percent
from slimgate.record.run import RunRecord
from slimgate.report.since_baseline import name_baseline
from slimgate.report.status import find_new_head, find_teacher, list_models
from slimgate.report.weights import describe_quantized_teacher
from slimgate.results.checks import TEACHER

# Tokenizers of real models leave almost no row unreadable; those of another language or alphabet, most rows.
MOST_UNREADABLE = 0.1


def list_unreadable_rows(record: RunRecord) -> list[str]:
    """A line for each share, with the models that it is of; empty if the tokenizers fit the rows."""
    models_by_share: dict[float, list[str]] = {}
    for model in record.variants:
        share = model.artifact.unreadable_rows if model.artifact else None
        if share is not None and share > MOST_UNREADABLE:
            models_by_share.setdefault(share, []).append(model.name)
    return [
        f"the tokenizer of {', '.join(names)} cannot read {format_percent(share, 0)} of the gate rows: at "
        "least one token in five is unknown to it; use the tokenizer that the model was trained with, and a "
        "model of the rows' language"
        for share, names in models_by_share.items()
    ]


def list_alarms(record: RunRecord) -> Iterator[str]:
    """The alarms that a PASS would hide.

    They are: a teacher that may have learnt nothing or is itself quantized, a variant that passes and may
    have learnt nothing, labels that no gate row has or that no model could learn, and variants that are new
    or gone since the baseline.
    """
    if doubt := describe_teacher_doubt(record):
        yield doubt
    for model in list_models(record):
        for facts in model.quality.values():
            if model.name != TEACHER and facts.near_chance:
                yield f"**{escape(model.name)} passes near chance**: {escape(facts.near_chance)}."
    if quantized := describe_quantized_teacher(record):
        yield quantized
    # Only if every gate row has one of the task's labels: else a label may have another name in the rows.
    gate = record.task.splits.get("gate")
    counts = gate.label_counts if gate is not None else None
    known = record.task.labels
    lacking = [name for name in known if not counts.get(name)] if counts and set(counts) <= set(known) else []
    if lacking:
        yield f"**No gate row has the label {_join(lacking)}**: what a variant loses there is not judged."
    yield from _list_unlearnt_labels(record)
    new = [
        model.name
        for model in list_models(record)
        if any(facts.new for facts in model.since_baseline.values())
    ]
    gone = record.baseline.gates_gone if record.baseline else []
    if new:
        yield f"**New since the baseline {name_baseline(record)}**, so not compared with it: {_join(new)}."
    if gone:
        renamed = "; a variant that is only renamed is compared with nothing" if new else ""
        yield f"**Gone since the baseline**, with their budgets: {_join(gone)}{renamed}."


def _list_unlearnt_labels(record: RunRecord) -> Iterator[str]:
    """The labels that gate rows have and no train row has, if the teacher's head was fitted on train rows."""
    teacher, splits = find_teacher(record), record.task.splits
    if teacher is None or find_new_head(teacher) is None or not {"train", "gate"} <= splits.keys():
        return
    learnt, judged = splits["train"].label_counts, splits["gate"].label_counts
    unlearnt = [name for name, rows in judged.items() if rows and not learnt.get(name)]
    if unlearnt and any(learnt.values()):
        rows = sum(judged[name] for name in unlearnt)
        yield (
            f"**No train row has the label {_join(unlearnt)}**, but {rows:,} of {splits['gate'].n:,} gate "
            "rows have it. All models are wrong there, so what a variant loses there is not seen."
        )


def describe_teacher_doubt(record: RunRecord) -> str | None:
    """The warning that the teacher may have learnt nothing; None if it has."""
    original = find_teacher(record)
    doubts = [facts.near_chance for facts in original.quality.values()] if original else []
    doubt = next((reason for reason in doubts if reason), None)
    useless = "a variant that loses nothing against it may be just as useless"
    return None if doubt is None else f"**The teacher is near chance**: {escape(doubt)}; {useless}."


def _join(names: list[str]) -> str:
    return ", ".join(map(escape, names))
