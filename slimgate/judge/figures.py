"""Judges budgets on figures of a model: size, precision, operations, memory, measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from statistics import median

import numpy as np

from slimgate._system.number_text import MEGABYTE, format_apart
from slimgate.errors import MeasureError
from slimgate.judge.budget_tables import (
    VALUE_RATIO,
    FlopsBudget,
    LimitBudget,
    MemoryBudget,
    QuantizedBudget,
    SizeBudget,
)
from slimgate.judge.decision import choose_verdict, make_budget_facts
from slimgate.judge.speed import compute_log_ratio_interval
from slimgate.outcomes import Floats
from slimgate.results.base import BudgetFacts, Verdict

# How many fresh processes of each model a budget needs. With fewer it is INCONCLUSIVE.
READINGS = 6


def judge_compression(
    teacher_bytes: int, variant_bytes: int, minimum: float, reason: str | None
) -> BudgetFacts:
    """PASS if teacher / variant is at least `minimum`. Bytes are those of the files needed to predict."""
    return _judge_exact(SizeBudget.kind, minimum, reason, holds=teacher_bytes >= minimum * variant_bytes)


def format_size_message(name: str, teacher_bytes: int, variant_bytes: int, budget: BudgetFacts | None) -> str:
    """The line of the gate."""
    limits = [] if budget is None else [budget.limit]
    [compression] = format_apart([teacher_bytes / variant_bytes], limits, fewest=2)
    sizes = f"{variant_bytes / MEGABYTE:.1f} vs {teacher_bytes / MEGABYTE:.1f} MB"
    line = f"{name}: size {sizes}, {compression}× smaller"
    return line if budget is None else f"{line}, budget {budget.limit:g}×: {budget.verdict}"


def judge_quantized(share: float, minimum: float, reason: str | None) -> BudgetFacts:
    """PASS if a share of weights is at least `minimum`. share: those with fewer than 16 bits, 0..1."""
    return _judge_exact(QuantizedBudget.kind, minimum, reason, holds=share >= minimum, value=share)


def judge_flops(teacher: int, variant: int, limit: float, reason: str | None) -> BudgetFacts:
    """PASS if variant / teacher is at most `limit`. teacher, variant: operations of one row, above 0."""
    holds = variant <= limit * teacher
    return _judge_exact(FlopsBudget.kind, limit, reason, holds=holds, value=variant / teacher)


def _judge_exact(
    kind: str, limit: float, reason: str | None, *, holds: bool, value: float | None = None
) -> BudgetFacts:
    """The verdict on a figure that is counted, so that it is never INCONCLUSIVE."""
    verdict = Verdict.PASS if holds else Verdict.FAIL
    return BudgetFacts(kind=kind, limit=limit, verdict=verdict, reason=reason, value=value)


@dataclass(frozen=True)
class MemoryRatio:
    """variant peak / teacher peak, of medians in bytes; below 1 the variant takes less.

    spread: (smallest, largest) ratio that the readings allow. readings: how many the model with fewer has.
    """

    teacher: float
    variant: float
    spread: tuple[float, float]
    readings: int

    @property
    def ratio(self) -> float:
        return self.variant / self.teacher


def compute_memory_ratio(teacher: Sequence[int], variant: Sequence[int]) -> MemoryRatio:
    """The ratio of two models' peaks, in bytes. Raises MeasureError without readings above 0."""
    if not teacher or not variant or min(*teacher, *variant) <= 0:
        raise MeasureError("a memory ratio needs peaks of both models, each more than 0 bytes")
    return MemoryRatio(
        teacher=median(teacher),
        variant=median(variant),
        spread=(min(variant) / max(teacher), max(variant) / min(teacher)),
        readings=min(len(teacher), len(variant)),
    )


def judge_memory(memory: MemoryRatio, limit: float, reason: str | None) -> BudgetFacts:
    """PASS if the whole spread is within `limit`, FAIL if none of it is, else INCONCLUSIVE.

    It is INCONCLUSIVE too with fewer than READINGS readings.
    """
    inside, outside = memory.spread[1] <= limit, memory.spread[0] > limit
    enough = memory.readings >= READINGS
    verdict = choose_verdict(inside=inside and enough, outside=outside and enough)
    return BudgetFacts(kind=MemoryBudget.kind, limit=limit, verdict=verdict, reason=reason)


def format_memory_message(name: str, memory: MemoryRatio, budget: BudgetFacts | None) -> str:
    """The line of the gate."""
    sizes = f"{memory.variant / MEGABYTE:.1f} vs {memory.teacher / MEGABYTE:.1f} MB"
    limits = [] if budget is None else [budget.limit]
    ratio, low, high = format_apart((memory.ratio, *memory.spread), limits, fewest=3)
    line = f"{name}: peak memory {sizes}, {ratio} of the teacher's"
    if memory.readings > 1:
        line += f" [{low}, {high}] (n={memory.readings} processes)"
    if budget is not None:
        line += f", budget {budget.limit:g}: {budget.verdict}"
    if budget is not None and budget.verdict is Verdict.INCONCLUSIVE:
        is_short = memory.readings < READINGS
        line += f", it takes {READINGS} readings" if is_short else ", the readings lie on both sides of it"
    return line


@dataclass(frozen=True)
class MeasuredFigure:
    """A positive figure with its exact 95 % interval; None if the figure is counted."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class MeasuredFigures:
    """The readings of a variant and of the teacher by round: (rounds,) values above 0, else MeasureError."""

    teacher: Floats
    variant: Floats

    @property
    def ratio(self) -> MeasuredFigure:
        """variant / teacher: the median over rounds; below 1 the variant takes less."""
        return _find_median(self.variant, self.teacher)

    @property
    def value(self) -> MeasuredFigure:
        """The median of the variant's readings."""
        return _find_median(self.variant, np.ones_like(self.variant))

    @property
    def teacher_value(self) -> MeasuredFigure:
        """The median of the teacher's readings."""
        return _find_median(self.teacher, np.ones_like(self.teacher))


def _find_median(values: Floats, divisors: Floats) -> MeasuredFigure:
    if len(values) == 1:  # counted: not by logarithms, because 3 would become 3.0000000000000004
        return MeasuredFigure(float(values[0] / divisors[0]), None)
    middle, low, high = compute_log_ratio_interval(values, divisors)
    return MeasuredFigure(exp(middle), (exp(low), exp(high)))


def judge_figures(figures: MeasuredFigures, budget: LimitBudget) -> BudgetFacts:
    """PASS if the whole interval is within the limit, FAIL if none of it is, else INCONCLUSIVE."""
    figure = figures.ratio if budget.kind == VALUE_RATIO else figures.value
    low, high = figure.interval or (figure.value, figure.value)
    verdict = choose_verdict(inside=high <= budget.limit, outside=low > budget.limit)
    return make_budget_facts(budget, verdict, value=figure.value, interval=figure.interval)


def format_figures_message(
    name: str, title: str, unit: str, figures: MeasuredFigures, budgets: Sequence[BudgetFacts]
) -> str:
    """The line of the gate.

    Example: `int8: load time 2.91 [2.84, 3.02] vs 3.6 s, 0.808 [0.79, 0.83] of the teacher's (10 rounds)`.
    """
    values = f"{_format(figures.value)} vs {figures.teacher_value.value:.4g}{unit and f' {unit}'}"
    line = f"{name}: {title} {values}, {_format(figures.ratio)} of the teacher's"
    if len(figures.variant) > 1:
        line += f" ({len(figures.variant)} rounds)"
    for budget in budgets:
        line += f", budget {budget.kind} {budget.limit:g}: {budget.verdict}"
    if any(budget.verdict is Verdict.INCONCLUSIVE for budget in budgets):
        line += ", an interval lies on both sides of its limit"
    return line


def _format(figure: MeasuredFigure) -> str:
    if figure.interval is None:
        return f"{figure.value:.4g}"
    return f"{figure.value:.4g} [{figure.interval[0]:.4g}, {figure.interval[1]:.4g}]"
