"""One line for each judged metric and size, with what the verdict rests on."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from slimgate._system.escape import escape
from slimgate.record import (
    BudgetFacts,
    FlopsFacts,
    LatencyFacts,
    MemoryFacts,
    QualityFacts,
    RunRecord,
    SinceFacts,
    SizeFacts,
    TimeLimitFacts,
    VariantRecord,
)
from slimgate.record.results import SPEEDUP, Result
from slimgate.report.comparison import quality_cell
from slimgate.report.figures import as_fast, count, flops_words, significant, smaller, to_fixed
from slimgate.report.status import models, workload_words
from slimgate.report.tables import blocks, bullets


def verdict_lines(record: RunRecord) -> str:
    """The section; lines in the suite's order."""
    return blocks("## Verdicts", bullets(verdict_list(record)) or "Nothing was judged against a budget.")


def verdict_list(record: RunRecord) -> list[str]:
    """A line a judged result; what the first screen quotes is not said again, only how it was judged."""
    quoted = set(record.verdict.messages)
    return [line for model in models(record) for line in _lines(model, quoted)]


def _lines(model: VariantRecord, quoted: Collection[str]) -> Iterator[str]:
    for result in model.results():
        facts = result.facts
        if not facts.budgets and (result.kind != SPEEDUP or facts.verdict is None):
            continue
        line = f"{escape(model.name)}: {_figures(result)}" if facts.message is None else escape(facts.message)
        basis = _basis(facts) if isinstance(facts, QualityFacts) else []
        if facts.message in quoted:
            line = f"{escape(model.name)}: {escape(result.title)} {facts.verdict}, quoted above"
        yield _line(model, line, basis, facts.budgets)


def _line(model: VariantRecord, message: str, basis: list[str], budgets: list[BudgetFacts]) -> str:
    parts = [message, *([] if model.gated else ["**not gated**"]), *basis]
    reasons = [f"why this budget: {escape(budget.reason)}" for budget in budgets if budget.reason is not None]
    return " · ".join([*parts, *reasons])


def _basis(facts: QualityFacts) -> list[str]:
    clauses = [] if facts.method is None else [f"method: {escape(facts.method)}"]
    if facts.design_effect is not None:
        clauses.append(f"design effect {to_fixed(facts.design_effect, 2)}")
    if facts.band is not None:
        clauses.append(f"band: {escape(facts.band)}")
    return clauses


def _figures(result: Result) -> str:
    """For a record that came without its messages."""
    facts, name = result.facts, escape(result.name)
    budgets = ", ".join(
        f"{escape(budget.kind)} {significant(budget.limit)} {budget.verdict}" for budget in facts.budgets
    )
    match facts:
        case QualityFacts():
            return f"{name} {quality_cell(facts)}, {budgets} {_rows(facts)}"
        case SinceFacts():
            return f"{name} since the baseline: {facts.verdict}"
        case SizeFacts():
            return f"size {smaller(facts.compression) or 'not known'}, {budgets}"
        case MemoryFacts():
            ratio = "not known" if facts.ratio is None else f"{significant(facts.ratio)} of the teacher's"
            return f"peak memory {ratio}, {budgets}"
        case FlopsFacts():
            return f"{flops_words(facts) or 'FLOPs not known'}, {budgets}"
        case LatencyFacts():
            speedup = as_fast(facts.speedup, facts.speedup_interval) or "speedup not known"
            return f"{workload_words(result.name)} {speedup}: {facts.verdict}"
        case TimeLimitFacts():
            return f"{workload_words(result.name)}, {budgets}"
    return f"{result.of}, {budgets}"


def _rows(facts: QualityFacts) -> str:
    needed = facts.n_needed
    return f"(n={count(facts.n)})" + (
        "" if needed is None else f", about {significant(needed, 2)} gate rows would tell"
    )
