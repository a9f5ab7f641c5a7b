"""Judges budgets on a KL log of llama.cpp.

For each chunk of text, the log has the mean KL, the log of the perplexity ratio, and the share of tokens for
which both models have the same most likely next token.

Chunks are the units of the statistics, as documents are elsewhere. The chunks of one article are alike, and
the log does not show where an article ends. So their variance is that of fewer chunks, by the
autocorrelations of the series, as with the requests of a load test (`call_times`). As if all were
independent, a budget at its limit passed in 17 % of simulated logs whose articles of ten chunks had a third
of the variance. The mean of a chunk counts up to a cap in nats per token (`capped`). The log has quantiles of
all tokens only, without an interval, so budgets on quantiles are INCONCLUSIVE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import NamedTuple

import numpy as np

from slimgate.errors import SuiteError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import count_independent_rounds
from slimgate.judge.capped import CappedRows
from slimgate.judge.decision import ALPHA, choose_verdict, make_budget_facts
from slimgate.judge.mean_bound import UnitLosses, sum_by_unit
from slimgate.judge.metrics.language_model import CAP
from slimgate.judge.perplexity import choose_growth_cap, exp_in_range, judge_increase
from slimgate.judge.rows_needed import count_rows
from slimgate.judge.token_kl import MEAN_MAX, SHARE_ABOVE, choose_mean_cap, judge_mean
from slimgate.outcomes import Floats
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.tool_logs import KlFigure


class ChunkMeans(NamedTuple):
    """The figures of a KL log by chunk, (chunks,) each.

    kl: mean KL in nats per token. log_ratio: mean log of the perplexity ratio, model / base.
    same_top: share of tokens with the same likeliest next token. quantiles: p99 and p999 of the KL of all
    tokens; None if the log does not state them.
    """

    kl: Floats
    log_ratio: Floats
    same_top: Floats
    quantiles: tuple[float | None, float | None] = (None, None)


def compute_figures(chunks: ChunkMeans) -> dict[str, KlFigure]:
    """The figures that budgets limit, by kind: mean_max, floor, increase_relative. Means are capped."""
    kl_rows, ratio_rows = _cap_kl(chunks, CAP), _cap_rows(chunks.log_ratio, CAP)
    kl, ratio = kl_rows.capped, ratio_rows.capped
    disagreements = _compute_disagreements(chunks)
    low, high = disagreements.compute_interval()
    lowest, highest = ratio.compute_interval()
    return {
        "mean_max": KlFigure(
            value=kl.mean,
            interval=kl.compute_interval(),
            uncapped=kl_rows.mean if kl_rows.above.mean else None,
        ),
        "floor": KlFigure(value=1 - disagreements.mean, interval=(1 - high, 1 - low)),
        "increase_relative": KlFigure(
            value=exp_in_range(ratio.mean) - 1,
            interval=(exp_in_range(lowest) - 1, exp_in_range(highest) - 1),
            uncapped=exp_in_range(ratio_rows.mean) - 1 if ratio_rows.above.mean else None,
        ),
    }


def judge_chunks(
    chunks: ChunkMeans, budget: LimitBudget | QualityBudget, figures: Mapping[str, KlFigure]
) -> BudgetFacts:
    """The verdict of a budget; n_needed counts chunks. Raises SuiteError for a kind without a figure.

    figures: those of `compute_figures`.
    """
    kind = budget.kind
    if kind in SHARE_ABOVE:
        value = chunks.quantiles[list(SHARE_ABOVE).index(kind)]
        return make_budget_facts(budget, Verdict.INCONCLUSIVE, value=value)
    if isinstance(budget, QualityBudget):
        if kind != "increase_relative":
            raise SuiteError(f"perplexity {kind} cannot be judged from a KL log; use increase_relative")
        return judge_increase(budget, _cap_rows(chunks.log_ratio, choose_growth_cap([budget])))
    if kind == MEAN_MAX:
        return judge_mean(budget, _cap_kl(chunks, choose_mean_cap(budget)))
    # A floor on agreement is a ceiling on disagreement.
    disagreements, ceiling = _compute_disagreements(chunks), 1 - budget.limit
    p_value = disagreements.p_at_least(ceiling)
    verdict = choose_verdict(inside=p_value <= ALPHA, outside=disagreements.p_at_most(ceiling) <= ALPHA)
    copies = disagreements.compute_copies_needed(ceiling) if verdict is Verdict.INCONCLUSIVE else None
    figure = figures[kind]
    return make_budget_facts(
        budget,
        verdict,
        value=figure.value,
        interval=figure.interval,
        n_needed=count_rows(copies, len(chunks.kl)),
        p_value=p_value,
    )


def _cap_rows(values: Floats, cap: float, *, lowest: float = -inf) -> CappedRows:
    """One value per chunk, every chunk with the same weight."""
    return CappedRows(
        values,
        np.ones(len(values)),
        groups=None,
        cap=cap,
        lowest=lowest,
        run_length=_measure_run_length(values, cap),
    )


def _measure_run_length(values: Floats, limit: float) -> float:
    """How many consecutive chunks count as one."""
    return len(values) / count_independent_rounds(values, limit)


def _cap_kl(chunks: ChunkMeans, cap: float) -> CappedRows:
    """The KL of each chunk. The log rounds means, so one may be a little below 0."""
    return _cap_rows(chunks.kl, cap, lowest=min(0.0, float(chunks.kl.min())))


def _compute_disagreements(chunks: ChunkMeans) -> UnitLosses:
    """The share of tokens in each chunk for which the two models have different most likely tokens."""
    shares = 1 - chunks.same_top
    losses = sum_by_unit(shares, np.ones(len(shares)), None, best=0.0, worst=1.0)
    return replace(losses, run_length=_measure_run_length(shares, float(shares.mean())))
