"""The table of variants on the HTML page: cells with their sort keys, and drawn intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slimgate._system.number_text import MISSING
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.page.budgets import limit_words
from slimgate.report.page.drawing import Drawn, Scale, draw_bar, drop_limits, scale_of
from slimgate.report.status import (
    budgeted_metrics,
    median_ms,
    metrics,
    metrics_without_budget,
    models,
    shown_name,
    standing,
    teacher,
    unjudged_budgets,
    verdicts,
    workload_words,
    workloads,
)
from slimgate.report.variant_tables import parameters_cell, quality_cell, size_cell, speed_cell
from slimgate.results.base import Verdict, worst_verdict
from slimgate.results.checks import TEACHER
from slimgate.results.quality import QualityFacts

Kind = Literal["PASS", "FAIL", "INCONCLUSIVE", "error", "not gated", "reference", "unfinished"]
# Failures first, because a reader looks for them first.
KINDS: tuple[Kind, ...] = (
    "FAIL",
    "error",
    "INCONCLUSIVE",
    "unfinished",
    "PASS",
    "not gated",
    "reference",
)
# If fewer metrics have a budget, others fill up to this number of columns. A section below has all.
_METRICS = 3


@dataclass(frozen=True)
class Head:
    """The head of a column. number: whether its cells are aligned right. note: a smaller second line."""

    text: str
    number: bool = True
    note: str | None = None


@dataclass(frozen=True)
class Cell:
    """A cell. text: markdown. sort: its sort key; None sorts last. picture: the drawn interval."""

    text: str
    sort: float | str | None
    picture: Drawn | None = None
    verdict: Verdict | None = None

    @property
    def value(self) -> str:
        """The text before the brackets."""
        return self.text.partition(" (")[0]

    @property
    def note(self) -> str:
        """The text in the brackets."""
        return self.text.partition(" (")[2].removesuffix(")")


@dataclass(frozen=True)
class Row:
    """A model, with its cells after the name.

    shown: its name for readers. number: its place in the record, which its details have too. kind: its state.
    """

    name: str
    shown: str
    number: int
    kind: Kind
    cells: Sequence[Cell]


def heads(record: RunRecord) -> list[Head]:
    """The heads of the columns after the name."""
    return [head for head, _ in _columns(record)]


def rows(record: RunRecord) -> list[Row]:
    """A row for each model: the teacher first, then the variants in the suite's order."""
    columns = [cells for _, cells in _columns(record)]
    return [
        Row(
            model.name,
            shown_name(record, model),
            place,
            kind_of(record, model),
            [cells[place] for cells in columns],
        )
        for place, model in enumerate(models(record))
    ]


def _columns(record: RunRecord) -> list[tuple[Head, list[Cell]]]:
    """The columns after the name that have a figure, with a cell for each model."""
    return [
        (head, cells) for head, cells in _all_columns(record) if any(cell.text != MISSING for cell in cells)
    ]


def _all_columns(record: RunRecord) -> Iterator[tuple[Head, list[Cell]]]:
    shown = models(record)
    yield (
        Head("verdict", number=False),
        [Cell(standing(record, model), KINDS.index(kind_of(record, model))) for model in shown],
    )
    for name in _choose_metrics(record):
        scale = metric_scale(record, name)
        cells = [_make_quality_cell(model.quality.get(name), scale) for model in shown]
        yield Head(name, note=_budget_words(record, name)), cells
    yield (
        Head("size", note="MB"),
        [Cell(size_cell(model), None if model.artifact is None else model.artifact.bytes) for model in shown],
    )
    for name in workloads(record):
        head = Head("speed-up", note=workload_words(name))
        yield (
            head,
            [Cell(speed_cell(model.latency.get(name)), _speed_key(record, model, name)) for model in shown],
        )
    yield (
        Head("parameters"),
        [
            Cell(
                parameters_cell(model.artifact),
                None if model.artifact is None else model.artifact.nonzero_parameters,
            )
            for model in shown
        ],
    )


def _speed_key(record: RunRecord, model: VariantRecord, workload: str) -> float | None:
    """The speed-up; the ratio of the medians if there was no duel."""
    facts = model.latency.get(workload)
    if facts is not None and facts.speedup is not None:
        return facts.speedup
    before, after = median_ms(teacher(record), workload), median_ms(model, workload)
    return before / after if before is not None and after else None


def kind_of(record: RunRecord, model: VariantRecord) -> Kind:
    """The state of a model in a word; unfinished: a budget has not been judged yet."""
    if model.error is not None:
        return "error"
    if model.name == TEACHER and not (verdicts(model) or model.awaited):
        return "reference"
    if not model.gated:
        return "not gated"
    worst = worst_verdict(list(verdicts(model).values()))
    if worst is Verdict.FAIL or worst is Verdict.INCONCLUSIVE:
        return "FAIL" if worst is Verdict.FAIL else "INCONCLUSIVE"
    if worst is None or unjudged_budgets(record, model):
        return "unfinished"
    return "PASS"


def metric_scale(record: RunRecord, metric: str) -> Scale:
    """One scale for all variants of a metric, so that their intervals can be compared."""
    of_metric = [model.quality[metric] for model in record.variants if metric in model.quality]
    ends = [bound for facts in of_metric for bound in (facts.drop_points, *(facts.interval or ()))]
    return scale_of([end for end in ends if end is not None], _limits(*of_metric))


def _make_quality_cell(facts: QualityFacts | None, scale: Scale) -> Cell:
    if facts is None:
        return Cell(quality_cell(None), None)
    picture = draw_bar(scale, facts.drop_points, facts.interval, _limits(facts))
    drop = 0.0 if facts.drop_points is None else facts.drop_points
    return Cell(quality_cell(facts), drop, picture, facts.verdict)


def _limits(*of_metric: QualityFacts) -> list[float]:
    return list(dict.fromkeys(limit for facts in of_metric for limit in drop_limits(facts)))


def _choose_metrics(record: RunRecord) -> list[str]:
    gated = budgeted_metrics(record)
    free = [name for name in metrics(record) if name not in gated]
    return gated + free[: max(0, _METRICS - len(gated))]


def _budget_words(record: RunRecord, metric: str) -> str:
    of_metric = [
        model.quality[metric] for model in record.variants if model.gated and metric in model.quality
    ]
    limits = {(budget.kind, budget.limit) for facts in of_metric for budget in facts.budgets}
    if len(limits) == 1:
        return limit_words(*limits.pop())
    if limits:
        return "budgets differ"
    return "no budget" if metric in metrics_without_budget(record) else "budget since the baseline"
