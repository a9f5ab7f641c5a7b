"""Which responses are asked for again, and after how long."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import httpx2
import pytest
from support.answer_server import serving

from slimgate.models.server_requests import FIRST_PAUSE, LONGEST_PAUSE, draw_pause, post, read_retry_after

# What the server answers first, how many requests it then gets of one retry, and the status of the last.
CASES = [
    ("status 429 Retry-After: 0.05", 2, 200),
    ("status 503 Retry-After-Ms: 50", 2, 200),
    ("status 400 Retry-After: 0.05", 1, 400),
    ("status 429 Retry-After: 121", 1, 429),
    ("status 500 X-Should-Retry: false", 1, 500),
]


@pytest.mark.parametrize(("first", "count", "status"), CASES, ids=[case[0] for case in CASES])
def test_a_server_says_when_it_can_be_asked_again(first: str, count: int, status: int) -> None:
    async def run(url: str) -> httpx2.Response:
        async with httpx2.AsyncClient() as client:
            return await post(client, f"{url}/completions", b'{"prompt": "one"}', retries=1)

    with serving(lambda _prompt, came: first if came == 1 else "answer") as server:
        start = time.monotonic()
        response = asyncio.run(run(server.url))
        spent = time.monotonic() - start
    assert (server.asked.total(), response.status_code) == (count, status)
    assert count == 1 or spent >= 0.05


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "3", "Retry-After-Ms": "20"}, 0.02),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
    ],
)
def test_the_pause_that_a_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(httpx2.Response(429, headers=headers)) == seconds


def test_the_pause_until_a_date_that_a_server_names() -> None:
    for seconds, expected in ((500, pytest.approx(500, abs=60)), (-500, None)):
        date = formatdate(time.time() + seconds, usegmt=True)
        assert read_retry_after(httpx2.Response(429, headers={"Retry-After": date})) == expected


def test_pauses_grow_up_to_the_longest_one() -> None:
    for tried, longest in enumerate([FIRST_PAUSE, 1.0, 2.0, 4.0, LONGEST_PAUSE, LONGEST_PAUSE]):
        drawn = [draw_pause(tried) for _ in range(100)]
        assert 0.75 * longest <= min(drawn) < max(drawn) <= longest
    assert draw_pause(5000) <= LONGEST_PAUSE
