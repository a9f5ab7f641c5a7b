"""Budgets on what a KL log tells: of each chunk its mean KL, log-perplexity ratio and equal likeliest tokens.

Chunks are the units, as documents are elsewhere, and count for at most a cap of nats a token (`capped`). The
log has no quantile of each chunk, so budgets on quantiles are INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf
from typing import NamedTuple

import numpy as np

from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.capped import CappedRows
from slimgate.judge.contrast import Interval
from slimgate.judge.decision import ALPHA, BudgetVerdict, Verdict, to_verdict
from slimgate.judge.mean_bound import UnitLosses, unit_losses
from slimgate.judge.metrics.perplexity import CAP
from slimgate.judge.perplexity import exp, growth_cap, judge_increase
from slimgate.judge.token_kl import MEAN_MAX, SHARE_ABOVE, judge_mean, mean_cap
from slimgate.outcomes import Floats


class ChunkMeans(NamedTuple):
    """(chunks,) each, as a KL log has them; quantiles: (p99, p999), None where they are not known."""

    kl: Floats
    log_ratio: Floats
    same_top: Floats
    quantiles: tuple[float | None, float | None] = (None, None)


class Figure(NamedTuple):
    """A figure with its 90 % interval."""

    value: float
    interval: Interval


def figures(chunks: ChunkMeans) -> dict[str, Figure]:
    """mean_max, floor, and increase_relative: by the kind of budget that limits them. Means are capped."""
    kl, ratio = _kl_rows(chunks, CAP).capped, _rows(chunks.log_ratio, CAP).capped
    parted = _parted(chunks)
    low, high = parted.interval()
    return {
        "mean_max": Figure(kl.mean, kl.interval()),
        "floor": Figure(1 - parted.mean, (1 - high, 1 - low)),
        "increase_relative": Figure(exp(ratio.mean) - 1, _grown(ratio.interval())),
    }


def judge_chunks(chunks: ChunkMeans, budgets: Sequence[LimitBudget | QualityBudget]) -> list[BudgetVerdict]:
    """n_needed: chunks. Raises SuiteError for a kind that the log says nothing of."""
    known = figures(chunks)
    return [_judge(chunks, budget, known) for budget in budgets]


def _judge(
    chunks: ChunkMeans, budget: LimitBudget | QualityBudget, known: dict[str, Figure]
) -> BudgetVerdict:
    kind, limit, reason = budget.kind, budget.limit, budget.reason
    if kind in SHARE_ABOVE:
        value = chunks.quantiles[list(SHARE_ABOVE).index(kind)]
        return BudgetVerdict(kind, limit, Verdict.INCONCLUSIVE, reason, None, value)
    if isinstance(budget, QualityBudget):
        if kind != "increase_relative":
            raise SuiteError(f"perplexity {kind} cannot be judged from a KL log; it takes increase_relative")
        return judge_increase(budget, _rows(chunks.log_ratio, growth_cap([budget])))
    if kind == MEAN_MAX:
        return judge_mean(budget, _kl_rows(chunks, mean_cap(budget)))
    parted, at = _parted(chunks), 1 - limit
    verdict = to_verdict(inside=parted.p_at_least(at) <= ALPHA, outside=parted.p_at_most(at) <= ALPHA)
    copies = parted.copies_needed(at) if verdict is Verdict.INCONCLUSIVE else None
    needed = None if copies is None else ceil(copies * len(chunks.kl))
    return BudgetVerdict(kind, limit, verdict, reason, needed, *known[kind], parted.p_at_least(at))


def _rows(values: Floats, cap: float, *, lowest: float = -inf) -> CappedRows:
    return CappedRows(values, np.ones(len(values)), None, cap, lowest)


def _kl_rows(chunks: ChunkMeans, cap: float) -> CappedRows:
    """A mean that is rounded may be a little below 0."""
    return _rows(chunks.kl, cap, lowest=min(0.0, float(chunks.kl.min())))


def _parted(chunks: ChunkMeans) -> UnitLosses:
    return unit_losses(1 - chunks.same_top, np.ones(len(chunks.same_top)), None, best=0.0, worst=1.0)


def _grown(logs: Interval) -> Interval:
    return exp(logs[0]) - 1, exp(logs[1]) - 1
