"""Size and operations: exact, so a plain comparison.

Memory: the ratio of two peaks, each the median of a few fresh processes.

A process's peak is nearly, not quite, the same when it runs again: where libraries land and how an allocator
rounds is not. So a ratio has a spread, from the least that the readings allow to the most, and a limit that
lies within it is not decided.

Where the ratio of the true medians is at the limit and a PASS is wrong, either all of the variant's readings
are at or below their median, or all of the teacher's at or above theirs. With k readings of each that has a
chance of at most 1 - (1 - 2^-k)^2, however they scatter: 23 % of 3, 3.1 % of 6. Where both models scatter
alike it is the rank test's 1 / C(2k, k) (Mann and Whitney 1947, Ann. Math. Stat. 18:50-60): 5 % of 3, 0.1 %
of 6. reports/simulations/memory_verdicts.md has the error rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from slimgate.errors import MeasureError
from slimgate.judge.budget_tables import FlopsBudget, MemoryBudget, SizeBudget
from slimgate.judge.decision import BudgetVerdict, Verdict, to_verdict

# So many fresh processes of each model where there is a budget; with fewer nothing is decided.
READINGS = 6
_MEGABYTE = 1024**2


def judge_compression(
    teacher_bytes: int, variant_bytes: int, minimum: float, reason: str | None
) -> BudgetVerdict:
    """PASS where teacher / variant reaches `minimum`. Bytes are those of the files needed to predict."""
    holds = teacher_bytes >= minimum * variant_bytes
    verdict = Verdict.PASS if holds else Verdict.FAIL
    return BudgetVerdict(kind=SizeBudget.kind, limit=minimum, verdict=verdict, reason=reason, n_needed=None)


def judge_flops(teacher: int, variant: int, limit: float, reason: str | None) -> BudgetVerdict:
    """PASS where variant / teacher is at most `limit`. teacher, variant: operations of one row, above 0."""
    verdict = Verdict.PASS if variant <= limit * teacher else Verdict.FAIL
    return BudgetVerdict(
        kind=FlopsBudget.kind,
        limit=limit,
        verdict=verdict,
        reason=reason,
        n_needed=None,
        value=variant / teacher,
    )


@dataclass(frozen=True)
class MemoryRatio:
    """variant peak / teacher peak, of medians in bytes; below 1 takes less.

    spread: (least, most) that the readings allow; readings: of the model that has fewer.
    """

    teacher: float
    variant: float
    spread: tuple[float, float]
    readings: int

    @property
    def ratio(self) -> float:
        return self.variant / self.teacher


def memory_ratio(teacher: Sequence[int], variant: Sequence[int]) -> MemoryRatio:
    """The ratio of two models' peaks, in bytes. Raises MeasureError without readings above 0."""
    if not teacher or not variant or min(*teacher, *variant) <= 0:
        raise MeasureError("a memory ratio needs peaks of both models, each more than 0 bytes")
    return MemoryRatio(
        teacher=median(teacher),
        variant=median(variant),
        spread=(min(variant) / max(teacher), max(variant) / min(teacher)),
        readings=min(len(teacher), len(variant)),
    )


def judge_memory(memory: MemoryRatio, limit: float, reason: str | None) -> BudgetVerdict:
    """PASS where even the most is within `limit`, FAIL where even the least is not, else INCONCLUSIVE.

    Fewer than READINGS decide nothing.
    """
    inside, outside = memory.spread[1] <= limit, memory.spread[0] > limit
    enough = memory.readings >= READINGS
    verdict = to_verdict(inside=inside and enough, outside=outside and enough)
    return BudgetVerdict(kind=MemoryBudget.kind, limit=limit, verdict=verdict, reason=reason, n_needed=None)


def memory_message(name: str, memory: MemoryRatio, budget: BudgetVerdict | None) -> str:
    """One line that can be acted on."""
    sizes = f"{memory.variant / _MEGABYTE:.1f} vs {memory.teacher / _MEGABYTE:.1f} MB"
    line = f"{name}: peak memory {sizes}, {memory.ratio:.3f} of the teacher's"
    if memory.readings > 1:
        line += f" [{memory.spread[0]:.3f}, {memory.spread[1]:.3f}] (n={memory.readings} processes)"
    if budget is not None:
        line += f", budget {budget.limit:g}: {budget.verdict}"
    if budget is not None and budget.verdict is Verdict.INCONCLUSIVE:
        is_short = memory.readings < READINGS
        line += f", it takes {READINGS} readings" if is_short else ", the readings lie on both sides of it"
    return line
