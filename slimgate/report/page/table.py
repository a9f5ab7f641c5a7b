"""The table of variants on the HTML page: cells with their sort keys, and drawn intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from slimgate._system.number_text import MISSING
from slimgate.record.run import RunRecord, VariantRecord
from slimgate.report.page.budgets import format_limit_words
from slimgate.report.page.drawing import Drawn, Scale, draw_bar, make_scale, select_drop_limits
from slimgate.report.status import (
    describe_workload,
    find_median_ms,
    find_shown_name,
    find_teacher,
    format_status_cell,
    list_budgeted_metrics,
    list_model_metrics,
    list_models,
    list_unbudgeted_metrics,
    list_unjudged_budgets,
    list_verdicts,
    list_workloads,
)
from slimgate.report.variant_tables import (
    format_parameters_cell,
    format_quality_cell,
    format_size_cell,
    format_speed_cell,
)
from slimgate.results.base import Verdict, find_worst_verdict
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
    """The head of a column. is_number: whether its cells are aligned right. note: a smaller second line."""

    text: str
    is_number: bool = True
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


def list_heads(record: RunRecord) -> list[Head]:
    """The heads of the columns after the name."""
    return [head for head, _ in _list_figure_columns(record)]


def list_rows(record: RunRecord) -> list[Row]:
    """A row for each model: the teacher first, then the variants in the suite's order."""
    columns = [cells for _, cells in _list_figure_columns(record)]
    return [
        Row(
            model.name,
            find_shown_name(record, model),
            place,
            choose_kind(record, model),
            [cells[place] for cells in columns],
        )
        for place, model in enumerate(list_models(record))
    ]


def _list_figure_columns(record: RunRecord) -> list[tuple[Head, list[Cell]]]:
    """The columns after the name that have a figure, with a cell for each model."""
    return [
        (head, cells)
        for head, cells in _list_all_columns(record)
        if any(cell.text != MISSING for cell in cells)
    ]


def _list_all_columns(record: RunRecord) -> Iterator[tuple[Head, list[Cell]]]:
    shown = list_models(record)
    yield (
        Head("verdict", is_number=False),
        [Cell(format_status_cell(record, model), KINDS.index(choose_kind(record, model))) for model in shown],
    )
    for name in _choose_metrics(record):
        scale = make_metric_scale(record, name)
        cells = [_make_quality_cell(model.quality.get(name), scale) for model in shown]
        yield Head(name, note=_describe_metric_budgets(record, name)), cells
    yield (
        Head("size", note="MB"),
        [
            Cell(format_size_cell(model), None if model.artifact is None else model.artifact.bytes)
            for model in shown
        ],
    )
    for name in list_workloads(record):
        head = Head("speed-up", note=describe_workload(name))
        yield (
            head,
            [
                Cell(format_speed_cell(model.latency.get(name)), _compute_speed_key(record, model, name))
                for model in shown
            ],
        )
    yield (
        Head("parameters"),
        [
            Cell(
                format_parameters_cell(model.artifact),
                None if model.artifact is None else model.artifact.nonzero_parameters,
            )
            for model in shown
        ],
    )


def _compute_speed_key(record: RunRecord, model: VariantRecord, workload: str) -> float | None:
    """The speed-up; the ratio of the medians if there was no duel."""
    facts = model.latency.get(workload)
    if facts is not None and facts.speedup is not None:
        return facts.speedup
    before, after = find_median_ms(find_teacher(record), workload), find_median_ms(model, workload)
    return before / after if before is not None and after else None


def choose_kind(record: RunRecord, model: VariantRecord) -> Kind:
    """The state of a model in a word; unfinished: a budget has not been judged yet."""
    if model.error is not None:
        return "error"
    if model.name == TEACHER and not (list_verdicts(model) or model.awaited):
        return "reference"
    if not model.gated:
        return "not gated"
    worst = find_worst_verdict(list(list_verdicts(model).values()))
    if worst is Verdict.FAIL or worst is Verdict.INCONCLUSIVE:
        return "FAIL" if worst is Verdict.FAIL else "INCONCLUSIVE"
    if worst is None or list_unjudged_budgets(record, model):
        return "unfinished"
    return "PASS"


def make_metric_scale(record: RunRecord, metric: str) -> Scale:
    """One scale for all variants of a metric, so that their intervals can be compared."""
    of_metric = [model.quality[metric] for model in record.variants if metric in model.quality]
    ends = [bound for facts in of_metric for bound in (facts.drop_points, *(facts.interval or ()))]
    return make_scale([end for end in ends if end is not None], _list_drop_limits(*of_metric))


def _make_quality_cell(facts: QualityFacts | None, scale: Scale) -> Cell:
    if facts is None:
        return Cell(format_quality_cell(None), None)
    picture = draw_bar(scale, facts.drop_points, facts.interval, _list_drop_limits(facts))
    drop = 0.0 if facts.drop_points is None else facts.drop_points
    return Cell(format_quality_cell(facts), drop, picture, facts.verdict)


def _list_drop_limits(*of_metric: QualityFacts) -> list[float]:
    return list(dict.fromkeys(limit for facts in of_metric for limit in select_drop_limits(facts)))


def _choose_metrics(record: RunRecord) -> list[str]:
    gated = list_budgeted_metrics(record)
    free = [name for name in list_model_metrics(record) if name not in gated]
    return gated + free[: max(0, _METRICS - len(gated))]


def _describe_metric_budgets(record: RunRecord, metric: str) -> str:
    of_metric = [
        model.quality[metric] for model in record.variants if model.gated and metric in model.quality
    ]
    limits = {(budget.kind, budget.limit) for facts in of_metric for budget in facts.budgets}
    if len(limits) == 1:
        return format_limit_words(*limits.pop())
    if limits:
        return "budgets differ"
    return "no budget" if metric in list_unbudgeted_metrics(record) else "budget since the baseline"
