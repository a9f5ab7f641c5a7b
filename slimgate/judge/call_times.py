"""Budgets on the milliseconds of a call: whether a quantile of its times is within a limit.

The interval of a quantile goes from one of the sorted times to another: the number of times below the true
quantile is binomial, whatever the noise (Thompson 1936, Ann. Math. Stat. 7:122-128; for any quantile David
and Nagaraja 2003, Order Statistics, section 7.1). Its upper bound for p95 takes 59 rounds, 0.95^59 < 5 %.

That holds for independent rounds. Rounds of one process follow each other: a machine that is slow for one
call is slow for the next. So n rounds count as n / (1 + 2 * the sum of their autocorrelations), which are
those of their ranks, or of "is above the limit" if these are more. The sum is that of pairs of neighbours, as
in Geyer 1992 (Stat. Sci. 7:473-483), but ends at the first pair that chance explains. No rule can account for
slow moments that are too rare to occur in the timed seconds.

Where a process lies in memory makes it some per cent faster or slower as long as it lives, and one process
was timed. So the interval is LAYOUT wider on both sides, as that of a speed-up is at least (judge/speed.py).
reports/simulations/call_time_verdicts.md has the error rates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil, exp, inf, isfinite, log, sqrt
from typing import Literal

import numpy as np

from slimgate._system.number_text import format_number
from slimgate.budgets.registry import find_kind
from slimgate.errors import MeasureError
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.decision import ALPHA, Z_ALPHA, Z_POWER, choose_verdict, make_budget_facts
from slimgate.judge.latency_budgets import E2E_P50, E2E_P95, GOODPUT, TOKENS_PER_SECOND, TTFT_P95
from slimgate.judge.ranks import rank_values
from slimgate.judge.speed import LAYOUT
from slimgate.outcomes import Floats
from slimgate.plugins.workloads import format_workload
from slimgate.results.base import BudgetFacts, Verdict, find_worst_verdict

P95 = 0.95
# The quantile that each kind of budget on the times of calls limits.
QUANTILES: Mapping[str, float] = {
    "p50_ms_max": 0.50,
    "p95_ms_max": P95,
    TTFT_P95: P95,
    TOKENS_PER_SECOND: 0.50,  # a low rate is a long time
    GOODPUT: 0.50,
    E2E_P50: 0.50,
    E2E_P95: P95,
}
# Kinds that limit a rate: its value and interval are those of the times, turned round.
_RATES = frozenset({TOKENS_PER_SECOND, GOODPUT})
# A pair of autocorrelations counts if it exceeds this many standard errors, those of independent rounds.
_SEEN = 1.2
# How often the autocorrelations are corrected for the mean of a series that is not independent.
_REFINEMENTS = 2


def count_fewest_rounds(kind: str) -> int:
    """The fewest rounds that can show that the limit of a budget of this kind holds."""
    return ceil(log(ALPHA) / log(QUANTILES[kind]))


@dataclass(frozen=True)
class CallTimes:
    """Judged times of one workload. budgets: in the order of the suite; their interval is in milliseconds.

    rounds: how many were timed; counted: how many independent rounds they count as, at the worst limit.
    """

    rounds: int
    counted: int
    budgets: tuple[BudgetFacts, ...]

    @property
    def verdict(self) -> Verdict | None:
        """The worst of the budgets."""
        return find_worst_verdict([budget.verdict for budget in self.budgets])


def judge_call_times(
    ms: Floats, budgets: Sequence[LimitBudget], *, tokens: int | None = None, noise: float = LAYOUT
) -> CallTimes:
    """Judges budgets on the times of a call. ms: (rounds,) in timing order; tokens: written per call.

    noise: by how much two runs may differ, on the log scale.

    PASS if the upper bound of the quantile is within the limit, FAIL if its lower bound is above it. A
    limit on tokens a second is one on the milliseconds of their call; of goodput, `ms` are the milliseconds
    of a block for each good request, and tokens is 1. Raises MeasureError without times, and for a rate of
    calls that write nothing.
    """
    if not len(ms):
        raise MeasureError("a budget on milliseconds needs timed rounds, and none were timed")
    limits = [_convert_to_ms(budget, tokens) for budget in budgets]
    counted = [count_independent_rounds(ms, limit.limit) for limit in limits]
    judged = (_judge_budget(ms, *row, tokens, noise) for row in zip(budgets, limits, counted, strict=True))
    return CallTimes(len(ms), min(counted, default=len(ms)), tuple(judged))


def _convert_to_ms(budget: LimitBudget, tokens: int | None) -> LimitBudget:
    if budget.kind not in _RATES:
        return budget
    if not tokens:
        raise MeasureError(f"{budget.kind} is for calls that generate tokens, and these generate none")
    return replace(budget, limit=1000 * tokens / budget.limit)


def _judge_budget(
    ms: Floats, budget: LimitBudget, in_ms: LimitBudget, counted: int, tokens: int | None, noise: float
) -> BudgetFacts:
    quantile = QUANTILES[budget.kind]
    value = compute_sample_quantile(ms, quantile)
    low, high = compute_claimed_interval(ms, quantile, counted, noise)
    verdict = choose_verdict(inside=high <= in_ms.limit, outside=low > in_ms.limit)
    undecided = verdict is Verdict.INCONCLUSIVE
    needed = count_rounds_needed(ms, in_ms, counted, noise) if undecided else None
    if budget.kind in _RATES and tokens:
        value, low, high = (1000 * tokens / time if time else inf for time in (value, high, low))
    return make_budget_facts(budget, verdict, value=value, interval=(low, high), n_needed=needed)


def compute_sample_quantile(ms: Floats, quantile: float) -> float:
    """The quantile of these times. If some are infinite it is one of the times, and not between two."""
    method: Literal["linear", "inverted_cdf"] = "linear" if np.isfinite(ms).all() else "inverted_cdf"
    return float(np.quantile(ms, quantile, method=method))


def compute_claimed_interval(ms: Floats, quantile: float, counted: int, noise: float) -> tuple[float, float]:
    """The 90 % interval of a quantile, widened by the differences between processes; inf if unbounded."""
    if not isfinite(noise):
        return 0.0, inf
    low, high = compute_quantile_interval(ms, quantile, counted)
    return low * exp(-noise), high * exp(noise)


def compute_quantile_interval(ms: Floats, quantile: float, counted: int) -> tuple[float, float]:
    """Two of the sorted times; the chance that the quantile is beyond each is at most 5 %.

    counted: how many independent rounds they count as. 0 and inf if these are too few for a bound.
    """
    times, rounds_per_counted = np.sort(ms), len(ms) / counted
    below, above = _count_outside(counted, quantile)
    low = 0.0 if below < 0 else float(times[int(below * rounds_per_counted)])
    high = inf if above < 0 else float(times[-1 - int(above * rounds_per_counted)])
    return low, high


@cache
def _count_outside(rounds: int, quantile: float) -> tuple[int, int]:
    """How many of the sorted times are below and above the interval; -1 for an end without bound."""
    from slimgate._system.special_functions import bdtr

    at_most = bdtr(np.arange(rounds), rounds, quantile)
    below = int(np.searchsorted(at_most, ALPHA, side="right")) - 1
    above = rounds - 1 - int(np.searchsorted(at_most, 1 - ALPHA, side="left"))
    return below, above


def count_independent_rounds(ms: Floats, limit: float) -> int:
    """How many independent rounds these times count as: at least 1, at most the number of rounds."""
    series = rank_values(ms), (ms > limit).astype(float)
    return max(1, int(len(ms) / max(map(_compute_correlation_time, series))))


def _compute_correlation_time(series: Floats) -> float:
    """How many rounds of a series count as one: 1 + 2 * the sum of the autocorrelations, at least 1.

    Autocorrelations are summed in pairs, because their signs alternate if calls do, such as of two batches by
    turns. The first pair that is not above its chance ends the sum, because what follows is noise.
    """
    centred = series - series.mean()
    n, spread = len(series), float(centred @ centred)
    if n < 4 or spread <= 0:
        return 1.0
    size = 1 << (2 * n - 1).bit_length()
    measured = np.fft.irfft(np.abs(np.fft.rfft(centred, size)) ** 2, size)[:n] / spread
    rounds = 1.0
    for _ in range(_REFINEMENTS):
        correlation = measured.copy()
        correlation[1:] += rounds / n  # each is about that much too low, because the series gives the mean
        pairs = correlation[: n - n % 2].reshape(-1, 2).sum(axis=1)
        noise = pairs <= _SEEN * sqrt(2 / n)
        if correlation[1] <= _SEEN / sqrt(n) and noise[1]:
            return 1.0
        end = int(noise.argmax()) if noise.any() else len(pairs)
        rounds = float(min(n, max(1.0, 2.0 * pairs[:end].sum() - 1.0)))
    return rounds


def count_rounds_needed(ms: Floats, budget: LimitBudget, counted: int, noise: float) -> int | None:
    """Rounds that decide the budget 80 % of the time if later ones are like these; None if none would.

    A quantile nearer to its limit than the noise stays undecided.
    """
    quantile = QUANTILES[budget.kind]
    within = [float((ms <= budget.limit * exp(sign * noise)).mean()) for sign in (-1, 1)]
    share = within[0] if within[0] > quantile else within[1]
    if within[0] <= quantile <= within[1]:
        return None
    spread = Z_ALPHA * sqrt(quantile * (1 - quantile)) + Z_POWER * sqrt(share * (1 - share))
    independent = max((spread / (share - quantile)) ** 2, count_fewest_rounds(budget.kind))
    return max(len(ms) + 1, ceil(independent * len(ms) / counted))


# The end of a workload's id that names the timed part. The names of the limited values contain this part.
_PART = re.compile("-(ttft|tpot|e2e)$")


def format_call_times(
    name: str, workload: str, times: CallTimes, *, timed: str = "rounds", undecided: str | None = None
) -> str:
    """The line of the gate. timed: what was timed. undecided: why it is INCONCLUSIVE, if not by its times."""
    parts = "; ".join(_format_budget(budget, timed, undecided) for budget in times.budgets)
    counted = "" if times.counted == times.rounds else f", which count as {times.counted}"
    return f"{name}: {format_workload(_PART.sub('', workload))}: {parts} ({times.rounds} {timed}{counted})"


def _format_budget(budget: BudgetFacts, timed: str, undecided: str | None) -> str:
    low, high = budget.interval or (0.0, inf)
    bounds = f"[{format_number(low, 3)}, {format_number(high, 3) if isfinite(high) else 'no bound'}]"
    kind = find_kind(budget.kind)
    assert kind is not None
    limit = f"budget {budget.limit:g}: {budget.verdict}"
    line = f"{kind.value_name} {format_number(budget.value, 3)} {kind.unit} {bounds}, {limit}"
    if budget.verdict is not Verdict.INCONCLUSIVE:
        return line
    if undecided is not None:
        return f"{line}, {undecided}"
    if budget.n_needed is None:
        return f"{line}, it is within {100 * LAYOUT:.0f} % of the limit"
    return f"{line}, about {budget.n_needed:,} {timed} would decide"
