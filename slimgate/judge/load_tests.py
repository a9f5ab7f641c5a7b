"""Two load tests of other tools: the times of a target's requests against those of a base.

The two tests did not alternate, so changes of the machine and the network between them are part of the
difference. A single run does not show how large that is. So a second run of the base measures it, as the copy
of the teacher does in a duel (judge/speed.py): the base compared with itself is the noise floor, and every
claim is widened by it. Without a second run no speed-up is decided, and a limit on the target's own times is
only decided if they are further away from it than `RUN_FACTOR`.

The quantiles of both have order-statistic intervals of 90 %; requests whose times are correlated count as
fewer (judge/call_times.py). The ratio's interval goes from the lower end of one divided by the
upper end of the other to the reverse. Each side of it is wrong in at most 5 %: of two normal estimates with
spreads s and t it is 1.645 (s + t) wide, and sqrt(s² + t²) would be enough.

A request that failed is slower than every other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, isfinite, log, sqrt

import numpy as np

from slimgate._system.number_text import count_digits_apart
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import (
    P95,
    CallTimes,
    compute_quantile_interval,
    compute_sample_quantile,
    count_independent_rounds,
    judge_call_times,
)
from slimgate.judge.contrast import Interval
from slimgate.judge.decision import choose_verdict, make_budget_facts, t_quantile
from slimgate.judge.latency_budgets import TPOT_SPEEDUP, TTFT_SPEEDUP, SpeedBudget
from slimgate.judge.speed import LAYOUT, format_noise_floor
from slimgate.outcomes import Floats
from slimgate.plugins.reader import LoadRequest
from slimgate.plugins.workloads import LoadPart
from slimgate.results.base import BudgetFacts, Verdict
from slimgate.results.tool_logs import TimeRatioFacts

MEDIAN = 0.5
SHOWN_QUANTILES = (MEDIAN, P95)
# The part of a request whose median each kind of budget compares.
PART_OF_SPEEDUP: dict[str, LoadPart] = {
    SpeedBudget.kind: "answer",
    TTFT_SPEEDUP: "ttft",
    TPOT_SPEEDUP: "tpot",
}
IN_TURNS = "time both servers in turns (`loads` of a suite)"
AS_NOISY = f"two runs of the base may differ by as much; send more requests, or {IN_TURNS}"
TOO_CLOSE = (
    f"within {100 * LAYOUT:g} % of the budget, and two runs of a server may always differ by as much; "
    f"{IN_TURNS}"
)
TOO_FEW = "the two runs of the base have too few requests to tell how much they differ; give longer runs"
# How much two runs of a server may differ if only one was measured. A target at a limit on its own times
# passes in at most 5 % if the logarithms of runs have a standard deviation of up to 0.136: log(1.25) / 1.645.
RUN_FACTOR = 1.25
ONE_RUN = (
    "one run of each does not tell how much two runs of one server differ; give --repeat ([logs] repeat)"
)


def widen_by_noise(interval: Interval, noise_floor: float | None) -> Interval:
    """The claimed interval: widened by the noise floor, or from 0 without end if the noise is not known."""
    if noise_floor is None:
        return 0.0, inf
    return interval[0] * exp(-noise_floor), interval[1] * exp(noise_floor)


def list_part_times(requests: Sequence[LoadRequest], part: LoadPart) -> Floats:
    """(requests,) times in the order of sending, inf if a request failed.

    Answered requests without a time of this part are left out.
    """
    field = {"answer": "total", "ttft": "first", "tpot": "between"}[part]
    times = (inf if request.failed is not None else getattr(request, field) for request in requests)
    return np.asarray([time for time in times if time is not None], dtype=np.float64)


def compare_times(
    base: Sequence[LoadRequest],
    target: Sequence[LoadRequest],
    repeat: Sequence[LoadRequest] | None,
    part: LoadPart,
    quantile: float,
) -> TimeRatioFacts | None:
    """Compares a quantile of one part of the requests. repeat: the second run of the base.

    None if base or target has no answered request with a time of this part.
    """
    base_times, target_times = list_part_times(base, part), list_part_times(target, part)
    if not (np.isfinite(base_times).any() and np.isfinite(target_times).any()):
        return None
    base_value = compute_sample_quantile(base_times, quantile)
    target_value = compute_sample_quantile(target_times, quantile)
    ratio, interval = _compute_ratio(base_times, target_times, quantile)
    noise_floor = None if repeat is None else _compute_noise_floor(base, repeat, part, quantile)
    return TimeRatioFacts(
        part=part,
        quantile=quantile,
        base=base_value,
        target=target_value,
        ratio=ratio,
        interval=interval,
        noise_floor=noise_floor,
        claimed_interval=widen_by_noise(interval, noise_floor),
        counted=(
            count_independent_rounds(base_times, base_value),
            count_independent_rounds(target_times, target_value),
        ),
    )


def _compute_noise_floor(
    base: Sequence[LoadRequest], repeat: Sequence[LoadRequest], part: LoadPart, quantile: float
) -> float:
    """The distance of the two base runs, plus that to the farther bound of the ratio; at least LAYOUT.

    It is at least Student's quantile times the part of the distance that the requests do not explain, since
    two runs are a single estimate of how much runs differ. Without the quantile, a target at its budget
    passed in 11 to 13 % of simulated tests whose runs differ much; with it, in 5.5 to 6.2 %.
    """
    base_times, repeat_times = list_part_times(base, part), list_part_times(repeat, part)
    if not (len(base_times) and len(repeat_times)):
        return inf
    ratio, (low, high) = _compute_ratio(base_times, repeat_times, quantile)
    if not (low > 0 and isfinite(high) and ratio > 0):
        return inf
    distance, farthest = abs(log(ratio)), max(abs(log(low)), abs(log(high)))
    unexplained = sqrt(max(distance**2 - (farthest - distance) ** 2, 0.0))
    return max(LAYOUT, distance + farthest, t_quantile(1) * unexplained)


def _compute_ratio(base: Floats, target: Floats, quantile: float) -> tuple[float, Interval]:
    values = [compute_sample_quantile(part_times, quantile) for part_times in (base, target)]
    (base_low, base_high), (low, high) = (
        compute_quantile_interval(part_times, quantile, count_independent_rounds(part_times, value))
        for part_times, value in zip((base, target), values, strict=True)
    )
    return _divide(*values), (_divide(base_low, high), _divide(base_high, low))


def _divide(above: float, below: float) -> float:
    """inf over anything is inf; anything over 0 has no bound."""
    if not isfinite(above) or below == 0:
        return inf
    return above / below


def judge_ratio(comparison: TimeRatioFacts, budget: SpeedBudget | LimitBudget) -> BudgetFacts:
    """PASS if the claimed interval lies above the limit, FAIL if it lies below, else INCONCLUSIVE."""
    low, high = comparison.claimed_interval
    verdict = choose_verdict(inside=low >= budget.limit, outside=high < budget.limit)
    known = (low, high) if isfinite(high) else None
    return make_budget_facts(budget, verdict, value=comparison.ratio, interval=known)


def judge_time_limit(
    times: Floats, budget: LimitBudget, noise_floor: float | None
) -> tuple[CallTimes, str | None]:
    """Judges a limit on the target's own times, and says why it is undecided if not by the requests.

    noise_floor: that of the same quantile of the base, on the log scale; None without a second run of the
    base: then two runs may differ by `RUN_FACTOR`.
    """
    judged = judge_call_times(times, [budget], noise=log(RUN_FACTOR) if noise_floor is None else noise_floor)
    if noise_floor is not None and not isfinite(noise_floor):
        return judged, TOO_FEW
    [limit] = judged.budgets
    if limit.verdict is not Verdict.INCONCLUSIVE or limit.n_needed is not None:
        return judged, None
    return judged, ONE_RUN if noise_floor is None else AS_NOISY


def format_ratio_message(
    name: str, comparison: TimeRatioFacts, judged: BudgetFacts, *, undecided: str | None = None
) -> str:
    """The line of the gate. name: of target and load.

    undecided: why it is INCONCLUSIVE, if not by its times.
    """
    part = {"answer": "", "ttft": ", first token", "tpot": ", later tokens"}[comparison.part]
    low, high = comparison.interval
    claimed = comparison.interval if comparison.noise_floor is None else comparison.claimed_interval
    digits = count_digits_apart((comparison.ratio, *claimed), [judged.limit], fewest=2)
    claim = _format_claim(comparison, claimed, digits)
    line = (
        f"{name}{part}: {comparison.ratio:.{digits}f}× the base's speed {claim}, "
        f"budget {judged.limit:g}×: {judged.verdict}"
    )
    if judged.verdict is not Verdict.INCONCLUSIVE:
        return line
    if undecided is not None:
        return f"{line}, {undecided}"
    if comparison.noise_floor is None:
        return f"{line}, {ONE_RUN}"
    if not isfinite(comparison.noise_floor):
        return f"{line}, {TOO_FEW}"
    if judged.limit * exp(-LAYOUT) <= comparison.ratio < judged.limit * exp(LAYOUT):
        return f"{line}, {TOO_CLOSE}"
    if low >= judged.limit or high < judged.limit:
        return f"{line}, {AS_NOISY}"
    return f"{line}, more requests in each run may decide"


def _format_claim(comparison: TimeRatioFacts, claimed: Interval, digits: int) -> str:
    low, high = claimed
    ends = f"{low:.{digits}f}, " + (f"{high:.{digits}f}" if isfinite(high) else "no bound")
    bounds = f"[{ends}]"
    if comparison.noise_floor is None:
        return f"{bounds} by its requests alone"
    return f"{bounds} ({format_noise_floor(comparison.noise_floor)})"
