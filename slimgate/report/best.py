"""Which variant to ship: the smallest and the fastest of those inside their budgets."""

from __future__ import annotations

from math import inf

from slimgate._system.escape import escaped
from slimgate.record import RunRecord, VariantRecord
from slimgate.report.comparison import quality_cell, size_cell, value_words
from slimgate.report.figures import as_fast, bounded_drop_words, count, significant, with_note
from slimgate.report.standing import (
    budgeted,
    inside_budgets,
    median_ms,
    not_shown,
    teacher,
    variants,
    verdicts,
    workload_words,
    workloads,
)


def best(record: RunRecord) -> list[str]:
    """One line on the smallest variant inside its budgets, one on the fastest where times were taken."""
    if not variants(record):
        return ["There is no variant: only the teacher was measured."]
    if not any(verdicts(model) for model in variants(record)):
        return ["No variant has been judged against a budget."]
    able = inside_budgets(record)
    if not able:
        return ["No variant is shown to be inside all its budgets."]
    return [_smallest(record, able), *_fastest(record, able)]


def _smallest(record: RunRecord, able: list[VariantRecord]) -> str:
    original = teacher(record)
    limit = None if original is None or original.artifact is None else original.artifact.bytes
    sized = [
        (model.artifact.bytes, model)
        for model in able
        if model.artifact is not None and (limit is None or model.artifact.bytes < limit)
    ]
    if not sized:
        return f"Inside all their budgets, but none smaller than the teacher: {_names(able)}."
    _, model = min(sized, key=lambda pair: pair[0])
    kept = [f"{escaped(name)} {_chosen_cell(record, model, name)}" for name in budgeted(record)[:2]]
    facts = ", ".join([size_cell(model, unit=" MB"), *kept, *filter(None, [not_shown(model)])])
    return f"Smallest inside its budgets: **{escaped(model.name)}**, {facts}."


def _chosen_cell(record: RunRecord, model: VariantRecord, metric: str) -> str:
    """`0.826 (drop 0.3, at most 1.1 as one of 4)`: a bound that holds although the variant was chosen.

    Of the confirm rows where they were looked at once: nothing was chosen by them.
    """
    facts, where = model.quality[metric], ""
    if record.confirm is not None and record.confirm.looks == 1 and metric in model.confirm:
        facts, where = model.confirm[metric], f", on {count(record.confirm.n)} confirm rows"
    if facts.among in (None, 1) or facts.bound_among is None:
        return quality_cell(facts, note=where.removeprefix(", ") or None)
    limits = [budget.limit for budget in facts.budgets if budget.kind == "drop_points"]
    drop = bounded_drop_words(facts.drop_points, facts.bound_among, limits, unit=facts.unit)
    over = ", over its budget: confirm it" if any(facts.bound_among >= limit for limit in limits) else ""
    return with_note(value_words(facts.value), f"{drop} as one of {count(facts.among)}{over}{where}")


def _fastest(record: RunRecord, able: list[VariantRecord]) -> list[str]:
    """One line; a variant that is fastest on several workloads is named once."""
    times: dict[str, list[str]] = {}
    for workload in workloads(record):
        timed = [(time, model) for model in able if (time := median_ms(model, workload)) is not None]
        # a duel says more than medians, which were taken at other moments
        shown_faster = [(time, model) for time, model in timed if _at_least(model, workload) > 1] or timed
        if timed:
            who, how = _fastest_on(record, min(shown_faster, key=lambda pair: pair[0])[1], workload)
            times.setdefault(who, []).append(how)
    shown = [f"{who}, {', '.join(on)}" for who, on in times.items()]
    return [f"Fastest inside its budgets, by the median of a call: {'; '.join(shown)}."] if shown else []


def _at_least(model: VariantRecord, workload: str) -> float:
    """The lower bound of its duel; infinite where there was none, so that medians are all there is."""
    interval = model.latency[workload].speedup_interval
    return inf if interval is None else interval[0]


def _fastest_on(record: RunRecord, model: VariantRecord, workload: str) -> tuple[str, str]:
    """Who is fastest, and its time: nobody where that is not shown to be faster than the teacher."""
    facts, original = model.latency[workload], teacher(record)
    interval = facts.speedup_interval
    name, time = _name(model), f"{significant(facts.p50_ms)} ms on {workload_words(workload)}"
    before = median_ms(original, workload)
    if before is None or facts.p50_ms is None:
        return name, time
    if facts.p50_ms >= before or (interval is not None and interval[0] <= 1):
        return (
            "none shown to be faster than the teacher",
            f"{significant(before)} ms on {workload_words(workload)}",
        )
    faster = as_fast(facts.speedup, facts.speedup_interval)
    by_turns = f"by turns {faster}" if faster else faster
    return name, with_note(time, f"teacher {significant(before)} ms", by_turns)


def _name(model: VariantRecord) -> str:
    """In bold, with the budgets on slices that are not shown."""
    return with_note(f"**{escaped(model.name)}**", not_shown(model))


def _names(found: list[VariantRecord]) -> str:
    return ", ".join(with_note(escaped(model.name), not_shown(model)) for model in found)
