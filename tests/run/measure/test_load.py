"""The duel of servers under load: what its blocks say, by simulation, and what real servers give."""

from __future__ import annotations

import numpy as np
import pytest
from support.answer_server import serving

from slimgate.errors import MeasureError
from slimgate.judge.budget_tables import LimitBudget
from slimgate.judge.call_times import judge_call_times
from slimgate.judge.latency_budgets import GOODPUT
from slimgate.models.ask import Request
from slimgate.models.stream import Timed
from slimgate.plugins.workloads import LOAD_PARTS, Load, ServiceLevel
from slimgate.results.base import Verdict
from slimgate.run.measure.load import BASE, COPY, VARIANT, LoadTimes, duel_under_load, is_good
from slimgate.runtimes.endpoint import EndpointTable

REQUESTS, BLOCKS, RUNS = 16, 12, 400


def simulate(draws: np.random.Generator, slower: float) -> LoadTimes:
    """Servers of 20 ms with noise of 5 % a request, and a machine that drifts by 20 % from round to round."""
    drift = np.exp(0.2 * draws.standard_normal(BLOCKS))
    factor = {BASE: 1.0, COPY: 1.0, VARIANT: slower}

    def block(name: str, place: int) -> list[Timed]:
        seconds = 0.02 * factor[name] * drift[place] * np.exp(0.05 * draws.standard_normal(REQUESTS))
        return [Timed(duration / 2, duration, duration / 6, 4) for duration in seconds]

    requests = {name: [block(name, place) for place in range(BLOCKS)] for name in factor}
    return LoadTimes(requests, {name: [1.0] * BLOCKS for name in factor})


def test_equal_servers_seldom_differ_and_10_percent_mostly_shows() -> None:
    draws = np.random.default_rng(0)
    alike = [simulate(draws, 1.0).compute_speedup("answer").claimed_interval for _ in range(RUNS)]
    slower = [simulate(draws, 1.1).compute_speedup("answer").claimed_interval for _ in range(RUNS)]
    assert sum(not low <= 1 <= high for low, high in alike) <= 0.01 * RUNS
    assert sum(high < 1 for _, high in slower) >= 0.9 * RUNS


def test_every_part_of_a_request_has_its_own_ratio() -> None:
    times = simulate(np.random.default_rng(0), 2.0)
    for part in LOAD_PARTS:
        assert times.compute_speedup(part).speedup == pytest.approx(0.5, rel=0.05)
    assert times.count_per_second([BASE]) == REQUESTS
    assert len(times.list_seconds(COPY, "tpot")) == REQUESTS * BLOCKS


def test_the_rate_of_two_is_all_requests_over_all_seconds() -> None:
    """20 requests in 1 s and 12 of 16 in 3 s: 8 per second. The mean of the two rates is 12."""
    answered, failed = Timed(0.1, 0.2, 0.01, 4), Timed(failed="status 500")
    requests = {BASE: [[answered] * 20], COPY: [[answered] * 8, [answered] * 4 + [failed] * 4]}
    times = LoadTimes(requests, {BASE: [1.0], COPY: [1.0, 2.0]})
    assert times.count_per_second([BASE, COPY]) == 8
    assert times.count_per_second([COPY]) == 4


def test_good_requests_meet_every_limit_of_the_level() -> None:
    slow, wordy = Timed(0.3, 0.4, 0.01, 4), Timed(0.1, 0.9, 0.05, 9)
    good, short, failed = Timed(0.1, 0.2, 0.01, 4), Timed(0.1, 0.1, None, 1), Timed(failed="status 500")
    block = [slow, wordy, good, short, failed]
    times = LoadTimes({VARIANT: [block, [slow]]}, {VARIANT: [2.0, 1.0]})
    level = ServiceLevel(ttft_ms=200, tpot_ms=30)
    assert [is_good(timed, level) for timed in block] == [False, False, True, True, False]
    assert [is_good(timed, ServiceLevel(e2el_ms=500)) for timed in block] == [True, False, True, True, False]
    assert times.count_good(VARIANT, level).tolist() == [2, 0]
    assert times.compute_ms_per_good(VARIANT, level).tolist() == [1000.0, np.inf]
    assert times.list_sent_ms(VARIANT, "answer").tolist() == [400, 900, 200, 100, np.inf, 400]
    assert times.list_sent_ms(VARIANT, "tpot").tolist() == [10, 50, 10, np.inf, 10]


def test_goodput_is_judged_by_its_blocks() -> None:
    """Blocks of one second with 9 to 11 good requests of 12."""
    draws = np.random.default_rng(3)
    good, bad = Timed(0.1, 0.2, 0.01, 4), Timed(0.3, 0.4, 0.01, 4)
    counts = draws.integers(9, 12, size=24)
    blocks = [[good] * count + [bad] * (12 - count) for count in counts]
    times = LoadTimes({VARIANT: blocks}, {VARIANT: [1.0] * 24})
    ms = times.compute_ms_per_good(VARIANT, ServiceLevel(ttft_ms=200))
    limits = [LimitBudget(GOODPUT, limit) for limit in (8.0, 10.0, 12.0)]
    judged = judge_call_times(ms, limits, tokens=1)
    assert [budget.verdict for budget in judged.budgets] == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    assert judged.budgets[0].value == pytest.approx(float(np.median(counts)), rel=0.06)
    assert judged.budgets[0].interval is not None
    low, high = judged.budgets[0].interval
    assert 8 < low < judged.budgets[0].value < high < 12


def test_a_slow_server_is_slower_in_real_requests() -> None:
    requests = [Request(f"say abcd{number}", {}) for number in range(4)]
    with serving() as fast, serving() as slow:
        fast.delay, slow.delay = 0.02, 0.4
        base, variant = (EndpointTable(url=server.url, model="m") for server in (fast, slow))
        times = duel_under_load(base, variant, requests, Load(4, None, 4, 6), seed=0)
        assert fast.asked.total() == 2 * slow.asked.total() == 2 * 4 * (6 + 1)  # the first block warms up
    for part in LOAD_PARTS:
        assert times.compute_speedup(part).speedup < 0.9
    assert times.compute_speedup("answer").rounds == 6


def test_a_server_that_fails_too_often_has_no_speed() -> None:
    requests = [Request(f"say {number}", {}) for number in range(10)]
    with serving(lambda prompt, _: "status 500" if prompt == "say 3" else "answer") as server:
        endpoint = EndpointTable(url=server.url, model="m")
        with pytest.raises(
            MeasureError, match=r"6. of 6. requests failed under load: status 500|requests fai"
        ):
            duel_under_load(endpoint, endpoint, requests, Load(None, 500.0, 10, 6), seed=0)


def test_answers_of_one_token_have_no_time_between_tokens() -> None:
    requests = [Request("say a", {})]
    with serving() as server:
        endpoint = EndpointTable(url=server.url, model="m")
        times = duel_under_load(endpoint, endpoint, requests, Load(1, None, 1, 6), seed=0)
    assert times.compute_speedup("ttft").rounds == 6
    with pytest.raises(MeasureError, match="no answer of two tokens, so tpot has no time"):
        times.compute_speedup("tpot")
