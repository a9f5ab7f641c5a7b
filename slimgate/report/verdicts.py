"""One line for each judged metric and size, with what the verdict rests on."""

from __future__ import annotations

from collections.abc import Iterator

from slimgate._system.escape import escaped
from slimgate.record import (
    BehaviourFacts,
    BudgetFacts,
    FootprintFacts,
    MemoryFacts,
    QualityFacts,
    RunRecord,
    VariantRecord,
)
from slimgate.report.comparison import quality_cell
from slimgate.report.figures import as_fast, count, fixed, significant, smaller
from slimgate.report.standing import models, workload_words
from slimgate.report.tables import blocks, bullets


def verdict_lines(record: RunRecord) -> str:
    """The section; lines in the suite's order."""
    lines = [line for model in models(record) for line in verdict_lines_of(model)]
    return blocks("## Verdicts", bullets(lines) or "Nothing was judged against a budget.")


def verdict_lines_of(model: VariantRecord) -> list[str]:
    """The lines of one variant."""
    return list(_lines(model))


def _lines(model: VariantRecord) -> Iterator[str]:
    if model.error is not None:
        yield f"{escaped(model.name)}: **error**, {escaped(model.error)}"
    for metric, facts in model.quality.items():
        if facts.budgets:
            yield _line(
                model,
                _said(facts.message, _quality_message(model, metric, facts)),
                _basis(facts),
                facts.budgets,
            )
    for metric, since in model.since_baseline.items():
        if since.budgets:
            otherwise = f"{escaped(model.name)}: {escaped(metric)} since the baseline: {since.verdict}"
            yield _line(model, _said(since.message, otherwise), [], since.budgets)
    if model.behaviour is not None and model.behaviour.budgets:
        found = model.behaviour
        yield _line(model, _said(found.message, _plain_message(model, found)), [], found.budgets)
    if model.footprint is not None and model.footprint.budgets:
        size = model.footprint
        yield _line(model, _said(size.message, _size_message(model, size)), [], size.budgets)
    if model.memory is not None and model.memory.budgets:
        memory = model.memory
        yield _line(model, _said(memory.message, _memory_message(model, memory)), [], memory.budgets)

    for workload, times in model.latency.items():
        if times.verdict is not None:
            speedup = as_fast(times.speedup, times.speedup_interval) or "speedup not known"
            otherwise = f"{escaped(model.name)}: {workload_words(workload)} {speedup}: {times.verdict}"
            yield _line(model, _said(times.message, otherwise), [], times.budgets)


def _line(model: VariantRecord, message: str, basis: list[str], budgets: list[BudgetFacts]) -> str:
    parts = [message, *([] if model.gated else ["**not gated**"]), *basis]
    reasons = [
        f"why this budget: {escaped(budget.reason)}" for budget in budgets if budget.reason is not None
    ]
    return " · ".join([*parts, *reasons])


def _said(message: str | None, otherwise: str) -> str:
    return otherwise if message is None else escaped(message)


def _basis(facts: QualityFacts) -> list[str]:
    found = []
    if facts.design_effect is not None:
        found.append(f"design effect {fixed(facts.design_effect, 2)}")
    if facts.groups is not None:
        found.append(f"{count(facts.groups)} groups")
    if facts.band is not None:
        found.append(f"band: {escaped(facts.band)}")
    return found


def _quality_message(model: VariantRecord, metric: str, facts: QualityFacts) -> str:
    """For a record that came without its messages."""
    budgets = ", ".join(
        f"{escaped(budget.kind)} {significant(budget.limit)} {budget.verdict}" for budget in facts.budgets
    )
    how = f"n={count(facts.n)}" + ("" if facts.method is None else f", {escaped(facts.method)}")
    needed = (
        "" if facts.n_needed is None else f", about {significant(facts.n_needed, 2)} gate rows would tell"
    )
    return f"{escaped(model.name)}: {escaped(metric)} {quality_cell(facts)}, {budgets} ({how}){needed}"


def _plain_message(model: VariantRecord, facts: BehaviourFacts) -> str:
    budgets = ", ".join(
        f"{escaped(budget.kind)} {significant(budget.limit)} {budget.verdict}" for budget in facts.budgets
    )
    return f"{escaped(model.name)}: behaviour, {budgets}"


def _size_message(model: VariantRecord, facts: FootprintFacts) -> str:
    budgets = ", ".join(
        f"{escaped(budget.kind)} {significant(budget.limit)} {budget.verdict}" for budget in facts.budgets
    )
    return f"{escaped(model.name)}: size {smaller(facts.compression) or 'not known'}, {budgets}"


def _memory_message(model: VariantRecord, facts: MemoryFacts) -> str:
    budgets = ", ".join(
        f"{escaped(budget.kind)} {significant(budget.limit)} {budget.verdict}" for budget in facts.budgets
    )
    ratio = "" if facts.ratio is None else f" {significant(facts.ratio)} of the teacher's"
    return f"{escaped(model.name)}: peak memory{ratio or ' not known'}, {budgets}"
