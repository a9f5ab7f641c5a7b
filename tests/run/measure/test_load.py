"""The duel of servers under load: what its blocks say, by simulation, and what real servers give."""

from __future__ import annotations

import numpy as np
import pytest
from support.answer_server import serving

from slimgate.errors import MeasureError
from slimgate.models.ask import Request
from slimgate.models.stream import Timed
from slimgate.protocols import LOAD_PARTS, Load
from slimgate.run.measure.load import BASE, COPY, VARIANT, LoadTimes, duel_under_load
from slimgate.runtimes.endpoint import EndpointTable

REQUESTS, BLOCKS, RUNS = 16, 12, 400


def simulate(draws: np.random.Generator, slower: float) -> LoadTimes:
    """Servers of 20 ms with noise of 5 % a request, and a machine that drifts by 20 % from round to round."""
    drift = np.exp(0.2 * draws.standard_normal(BLOCKS))
    factor = {BASE: 1.0, COPY: 1.0, VARIANT: slower}

    def block(name: str, place: int) -> list[Timed]:
        seconds = 0.02 * factor[name] * drift[place] * np.exp(0.05 * draws.standard_normal(REQUESTS))
        return [Timed(one / 2, one, one / 6, 4) for one in seconds]

    requests = {name: [block(name, place) for place in range(BLOCKS)] for name in factor}
    return LoadTimes(requests, {name: [1.0] * BLOCKS for name in factor})


def test_a_server_beside_itself_is_hardly_ever_claimed_and_ten_percent_mostly_seen() -> None:
    draws = np.random.default_rng(0)
    alike = [simulate(draws, 1.0).speedup("answer").claimed_interval for _ in range(RUNS)]
    slower = [simulate(draws, 1.1).speedup("answer").claimed_interval for _ in range(RUNS)]
    assert sum(not low <= 1 <= high for low, high in alike) <= 0.01 * RUNS
    assert sum(high < 1 for _, high in slower) >= 0.9 * RUNS


def test_every_part_of_a_request_has_its_own_ratio() -> None:
    times = simulate(np.random.default_rng(0), 2.0)
    for part in LOAD_PARTS:
        assert times.speedup(part).speedup == pytest.approx(0.5, rel=0.05)
    assert times.per_second(BASE) == REQUESTS
    assert len(times.seconds(COPY, "tpot")) == REQUESTS * BLOCKS


def test_a_slow_server_is_slower_in_real_requests() -> None:
    requests = [Request(f"say abcd{number}", {}) for number in range(4)]
    with serving() as fast, serving() as slow:
        fast.delay, slow.delay = 0.02, 0.4
        base, variant = (EndpointTable(url=one.url, model="m") for one in (fast, slow))
        found = duel_under_load(base, variant, requests, Load(4, None, 4, 6), seed=0)
        assert fast.asked.total() == 2 * slow.asked.total() == 2 * 4 * (6 + 1)  # the first block warms up
    for part in LOAD_PARTS:
        assert found.speedup(part).speedup < 0.9
    assert found.speedup("answer").rounds == 6


def test_a_server_that_fails_too_often_has_no_speed() -> None:
    requests = [Request(f"say {number}", {}) for number in range(10)]
    with serving(lambda prompt, _: "status 500" if prompt == "say 3" else "answer") as server:
        one = EndpointTable(url=server.url, model="m")
        with pytest.raises(
            MeasureError, match=r"6. of 6. requests failed under load: status 500|requests fai"
        ):
            duel_under_load(one, one, requests, Load(None, 500.0, 10, 6), seed=0)


def test_answers_of_one_token_have_no_time_between_tokens() -> None:
    requests = [Request("say a", {})]
    with serving() as server:
        one = EndpointTable(url=server.url, model="m")
        found = duel_under_load(one, one, requests, Load(1, None, 1, 6), seed=0)
    assert found.speedup("ttft").rounds == 6
    with pytest.raises(MeasureError, match="no answer of two tokens, so tpot has no time"):
        found.speedup("tpot")
