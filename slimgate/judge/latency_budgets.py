"""The table [budgets.latency]: limits on the time of a call and of its parts.

A duel with the teacher decides `speed` and `part_speeds` of a table. The variant's own calls decide its
`times`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from slimgate.budgets.latency import KINDS
from slimgate.judge.budget_tables import LimitBudget, MeasuredBudget, SeveralLimitsTable
from slimgate.plugins.workloads import TimedPart


class SpeedBudget(MeasuredBudget):
    """A budget on speed: teacher time / variant time must reach this, on every workload."""

    kind = "speedup_min"
    speedup_min: float = Field(gt=0)
    """Least value of teacher time / variant time; it applies to every workload."""


# Kinds of budgets on the time of a call, by the part that they limit. Every other kind limits a whole call
# on prepared tensors, with the written answer if there is one.
TTFT_SPEEDUP, TPOT_SPEEDUP, TTFT_P95 = "ttft_speedup_min", "tpot_speedup_min", "ttft_p95_ms_max"
E2E_SPEEDUP, E2E_P50, E2E_P95 = "end_to_end_speedup_min", "end_to_end_p50_ms_max", "end_to_end_p95_ms_max"
TOKENS_PER_SECOND, GOODPUT = "tokens_per_second_min", "goodput_min"
PART_OF: Mapping[str, TimedPart] = {kind.name: kind.part for kind in KINDS if kind.part is not None}
# The kinds that a duel decides, as it decides speedup_min.
PART_SPEEDUPS = (TTFT_SPEEDUP, TPOT_SPEEDUP, E2E_SPEEDUP)


def is_limit_on_part(kind: str, part: TimedPart) -> bool:
    """Whether a budget of this kind limits the time of this part."""
    return PART_OF[kind] == part if kind in PART_OF else part in ("forward", "answer")


class LatencyBudgetTable(SeveralLimitsTable):
    """Budgets on the time of a call, all of which must hold on every workload that they apply to."""

    kinds: ClassVar = tuple(kind.name for kind in KINDS)
    example: ClassVar = "{ speedup_min = 2.0 }"
    speedup_min: float | None = Field(default=None, gt=0)
    """Least value of teacher time / variant time; it applies to every workload."""
    p50_ms_max: float | None = Field(default=None, gt=0)
    """Largest median time of a call on this machine, in milliseconds; it applies to every workload and
    load."""
    p95_ms_max: float | None = Field(default=None, gt=0)
    """Largest 95th percentile of the time of a call, in milliseconds; it applies to every workload and load.
    A PASS needs at least 59 rounds or requests."""
    ttft_speedup_min: float | None = Field(default=None, gt=0)
    """Smallest speed-up (teacher time / variant time) of the time until the first token, on workloads with
    new_tokens."""
    tpot_speedup_min: float | None = Field(default=None, gt=0)
    """Smallest speed-up (teacher time / variant time) of the time per token after the first one, on workloads
    with new_tokens."""
    ttft_p95_ms_max: float | None = Field(default=None, gt=0)
    """Largest 95th percentile of the time until the first token, in milliseconds, on workloads with
    new_tokens and on loads. A PASS needs at least 59 rounds or requests."""
    tokens_per_second_min: float | None = Field(default=None, gt=0)
    """Least number of new tokens per second, summed over the rows of a call, on workloads with new_tokens.
    The time includes the processing of the prompts. The limit applies to the median call."""
    goodput_min: float | None = Field(default=None, gt=0)
    """Least number of requests per second that meet the service_level of their load; the limit applies to the
    median turn."""
    end_to_end_speedup_min: float | None = Field(default=None, gt=0)
    """Least value of teacher time / variant time from text to answer, with [measure] end_to_end = true."""
    end_to_end_p50_ms_max: float | None = Field(default=None, gt=0)
    """Largest median time from text to answer, in milliseconds, with [measure] end_to_end = true."""
    end_to_end_p95_ms_max: float | None = Field(default=None, gt=0)
    """Largest 95th percentile of the time from text to answer, in milliseconds, with [measure] end_to_end =
    true; a PASS needs at least 59 rounds."""

    @property
    def speed(self) -> SpeedBudget | None:
        """The budget that a duel with the teacher decides."""
        limit = self.speedup_min
        if limit is None:
            return None
        return SpeedBudget(speedup_min=limit, reason=self.reason, on_inconclusive=self.on_inconclusive)

    @property
    def part_speeds(self) -> tuple[LimitBudget, ...]:
        """The budgets that a duel decides on the first token, on the later tokens, or from end to end."""
        return tuple(budget for budget in self.make_budgets() if budget.kind in PART_SPEEDUPS)

    @property
    def times(self) -> tuple[LimitBudget, ...]:
        """The budgets that the variant's own times decide."""
        by_duel = (SpeedBudget.kind, *PART_SPEEDUPS)
        return tuple(budget for budget in self.make_budgets() if budget.kind not in by_duel)
