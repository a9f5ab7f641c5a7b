"""Judges budgets on size, precision, operations and peak memory.

Size, precision and operations are exact, so they are compared with the limit.

Peak memory is measured: the ratio is that of two medians, each over a few fresh processes. A process does not
have quite the same peak when it runs again, because the addresses of libraries and the allocator's rounding
differ. So the ratio has a spread, from the smallest to the largest that the readings allow. A limit inside
the spread is not decided.

How often is a PASS wrong if the ratio of the true medians is at the limit? Then either all readings of the
variant are at or below their median, or all of the teacher's are at or above theirs. With k readings of each
model this has a chance of at most 1 - (1 - 2^-k)^2, whatever the distributions: 23 % for k = 3, 3.1 % for
k = 6. If both models have the same distribution, it is 1 / C(2k, k) as in the rank test (Mann and Whitney
1947, Ann. Math. Stat. 18:50-60): 5 % for k = 3, 0.1 % for k = 6. reports/simulations/memory_verdicts.md has
the error rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from slimgate._system.number_text import MEGABYTE, format_apart
from slimgate.errors import MeasureError
from slimgate.judge.budget_tables import FlopsBudget, MemoryBudget, QuantizedBudget, SizeBudget
from slimgate.judge.decision import choose_verdict
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
