"""Times of streamed answers, against a server that takes a known time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest
from support.answer_server import AnswerServer, serving

from slimgate.models.ask import Request, open_client
from slimgate.models.stream import Timed, send_at_rate, send_closed_loop
from slimgate.runtimes.endpoint import EndpointTable

DELAY = 0.2


def send(server: AnswerServer, prompts: Sequence[object], **how: float) -> list[Timed]:
    endpoint = EndpointTable(url=server.url, model="m", timeout=1.0)

    async def run() -> list[Timed]:
        async with open_client(endpoint, connections=64) as client:
            requests = [Request(prompt, {"max_tokens": 4}) for prompt in prompts]
            if "rate" in how:
                return await send_at_rate(client, endpoint, requests, rate=how["rate"], seed=0)
            return await send_closed_loop(client, endpoint, requests, users=int(how["users"]))

    return asyncio.run(run())


CHATS = ["chat", "calls", "thoughts reasoning_content", "thoughts reasoning", "thinks unseen", "in pairs"]


@pytest.mark.parametrize("answer", ["completions", *CHATS])
def test_first_token_and_tokens_are_timed(answer: str) -> None:
    chat = answer != "completions"
    prompt = [{"role": "user", "content": "say abcd"}] if chat else "say abcd"
    with serving(lambda *_: answer) as server:
        server.delay = DELAY
        [timed] = send(server, [prompt], users=1)
        [body] = server.bodies
    assert body["path"] == ("/v1/chat/completions" if chat else "/v1/completions")
    assert body["stream"] is True
    assert timed.failed is None
    assert timed.tokens == 4
    assert DELAY / 4 <= timed.first < DELAY <= timed.total < 5 * DELAY
    gaps = DELAY / 2 if answer == "in pairs" else 3 * DELAY / 4
    assert timed.between == pytest.approx(gaps / 3, rel=0.8)


def test_a_server_that_refuses_stream_options_gets_them_once() -> None:
    with serving(lambda *_: "strict") as server:
        answers = send(server, ["say abcd"] * 3, users=1)
        with_options = ["stream_options" in body for body in server.bodies]
    assert [(timed.failed, timed.tokens) for timed in answers] == [(None, 4)] * 3
    assert with_options == [True, False, False, False]


@pytest.mark.parametrize("status", [400, 415, 500, 501])
def test_a_refusal_of_stream_options_may_have_any_status(status: int) -> None:
    with serving(lambda *_: f"strict {status}") as server:
        answers = send(server, ["say abcd"] * 2, users=1)
        assert len(server.bodies) == 3
    assert [timed.failed for timed in answers] == [None, None]


def test_a_server_with_stream_options_gets_no_request_twice() -> None:
    with serving(lambda prompt, _: "status 400" if "long" in prompt else "completions") as server:
        answers = send(server, ["say abcd", "too long", "too long"], users=1)
        assert len(server.bodies) == 3
    assert [timed.failed is None for timed in answers] == [True, False, False]


def test_users_wait_for_their_answers_and_arrivals_do_not() -> None:
    with serving() as server:
        server.delay = DELAY
        closed = send(server, ["say abcd"] * 6, users=2)
        assert server.most_at_once == server.connections == 2  # each user keeps the connection
        server.most_at_once = 0
        arriving = send(server, ["say abcd"] * 12, rate=200.0)
        assert server.most_at_once > 4
    assert [timed.failed for timed in (*closed, *arriving)] == [None] * 18


def test_a_piece_may_hold_any_character_that_json_may() -> None:
    with serving() as server:
        [timed] = send(server, ["say a\u2028\x85é"], users=1)
    assert (timed.failed, timed.tokens) == (None, 4)


FAULTS = [
    ("status 500", "status 500: refused, Bearer \\*\\*\\*"),
    ("status 400", "status 400: refused"),
    (
        "status 302 Location: /v2/completions",
        "302: the server redirects to http://127.0.0.1:[0-9]+/v2; write",
    ),
    ("error", '"message": null, "key": "\\*\\*\\*"'),
    ("hang", "no answer within 1 s"),
    ("break off", "the answer was cut off"),
    ("drop", "incomplete|closed|peer|cut off"),
]


@pytest.mark.parametrize(("fault", "why"), FAULTS, ids=[fault for fault, _ in FAULTS])
def test_a_request_that_fails_has_no_time_and_a_reason(fault: str, why: str) -> None:
    with serving(lambda prompt, _: fault if "bad" in prompt else "answer") as server:
        good, bad = send(server, ["say good", "bad say"], users=1)
    assert good.failed is None
    assert bad.failed is not None
    assert re.search(why, bad.failed)
    assert bad.total == 0.0
