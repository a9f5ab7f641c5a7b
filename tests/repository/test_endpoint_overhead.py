"""tools/measuring/endpoint_overhead.py: a request costs little more CPU than by httpx alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.measuring.endpoint_overhead import Way, make_streamed_ways, make_ways, measure, serving

USERS, REQUESTS, ROUNDS = 8, 80, 6
MOST = 0.15


@pytest.mark.slow
@pytest.mark.parametrize("make", [make_ways, make_streamed_ways], ids=["whole", "streamed"])
def test_a_request_costs_little_more_than_by_httpx_alone(
    make: Callable[..., dict[str, Way]], tmp_path: Path
) -> None:
    with serving(0.005) as url:
        costs = measure(make(url, USERS, REQUESTS, tmp_path), USERS, REQUESTS, rounds=ROUNDS)
    # the end of the interval: a busy machine does not fail the test
    _, least, _ = costs.compute_cpu_share()
    assert least < MOST
