"""Budgets on what a KL log tells: of each chunk its mean KL, log-perplexity ratio and equal likeliest tokens.

Chunks are the units, as documents are elsewhere. The log has no quantile of each chunk, so budgets on
quantiles are INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, log
from typing import NamedTuple

import numpy as np

from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.contrast import Interval
from slimgate.judge.decision import ALPHA, BudgetVerdict, Verdict, to_verdict
from slimgate.judge.mean_bound import UnitLosses, unit_losses
from slimgate.judge.metrics.perplexity import DAMAGE
from slimgate.judge.token_kl import SHARE_ABOVE
from slimgate.outcomes import Floats


class ChunkMeans(NamedTuple):
    """(chunks,) each, as in a KlLog; quantiles: (p99, p999), None where they are not known."""

    kl: Floats
    log_ratio: Floats
    same_top: Floats
    quantiles: tuple[float | None, float | None] = (None, None)


class Figure(NamedTuple):
    """A figure with its 90 % interval."""

    value: float
    interval: Interval


def figures(chunks: ChunkMeans) -> dict[str, Figure]:
    """mean_max, floor, and increase_relative: by the kind of budget that limits them."""
    kl, parted, ratio = (_losses(chunks, kind) for kind in ("mean_max", "floor", "increase_relative"))
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
    if kind not in known:
        raise SuiteError(f"perplexity {kind} cannot be judged from a KL log; it takes increase_relative")
    losses = _losses(chunks, kind)
    at = {"floor": 1 - limit, "increase_relative": log(1 + limit)}.get(kind, limit)
    verdict = to_verdict(inside=losses.p_at_least(at) <= ALPHA, outside=losses.p_at_most(at) <= ALPHA)
    copies = losses.copies_needed(at) if verdict is Verdict.INCONCLUSIVE else None
    needed = None if copies is None else ceil(copies * len(chunks.kl))
    return BudgetVerdict(kind, limit, verdict, reason, needed, *known[kind], losses.p_at_least(at))


def _losses(chunks: ChunkMeans, kind: str) -> UnitLosses:
    values = {"floor": 1 - chunks.same_top, "increase_relative": chunks.log_ratio}.get(kind, chunks.kl)
    most = 1.0 if kind == "floor" else max(DAMAGE, float(np.abs(values).max()))
    # a mean that is rounded may be a little below 0
    best = -most if kind == "increase_relative" else min(0.0, float(values.min()))
    return unit_losses(values, np.ones(len(values)), None, best=best, worst=most)


def _grown(logs: Interval) -> Interval:
    return exp(logs[0]) - 1, exp(logs[1]) - 1
