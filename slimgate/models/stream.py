"""Times of requests to an OpenAI-compatible server, whose answers come in pieces (server-sent events).

    async with open_client(endpoint, connections=8) as client:
        timed = await send_closed_loop(client, endpoint, requests, users=8)

A request that fails has no time. Nothing is sent twice, with one exception: the requests ask for the number
of tokens, and until an answer shows that the server knows this field, a refused request is sent again without
it.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from slimgate.errors import MeasureError
from slimgate.models.ask import Endpoint, Request, encode_request
from slimgate.models.server_requests import (
    describe_error,
    list_connection_errors,
    read_error_body,
    read_error_message,
)

if TYPE_CHECKING:
    import httpx2

    from slimgate.plugins.base import Json

_END = b"[DONE]"
# Fields with the text of a chat. A server has one of two names for what a model thinks.
_THOUGHTS = ("reasoning_content", "reasoning")
_TEXTS = ("content", "tool_calls", *_THOUGHTS)
# Most servers count the tokens of a stream only if they are asked to.
_ASK_FOR_COUNT = {"stream_options": {"include_usage": True}}
# Whether a client's server knows this field, once an answer shows it. Mistral's server refuses it, and counts
# without being asked.
_KNOWS_FIELD: WeakKeyDictionary[httpx2.AsyncClient, bool] = WeakKeyDictionary()
# What a server says for other reasons than a field that it does not know.
_OTHER_REASONS = frozenset({401, 403, 429})
_LAST_BYTES = 1.0  # the longest time in seconds that a server may take to end a stream after its last event


@dataclass(frozen=True)
class Timed:
    """One request, in seconds since it was sent. failed: why it has no times.

    first: until the first piece of text; total: until the end. between: the mean time from one token to the
    next, by the server's count of tokens, else by pieces; None for an answer of one token.
    """

    first: float = 0.0
    total: float = 0.0
    between: float | None = None
    tokens: int = 0
    failed: str | None = None


async def send_closed_loop(
    client: httpx2.AsyncClient, endpoint: Endpoint, requests: Sequence[Request], *, users: int
) -> list[Timed]:
    """Each user sends the next request when the last one is answered. Times in the requests' order."""
    timings: list[Timed] = [Timed()] * len(requests)
    todo = iter(enumerate(requests))

    async def work() -> None:
        for place, request in todo:
            timings[place] = await send(client, endpoint, request)

    await asyncio.gather(*(work() for _ in range(min(users, len(requests)))))
    return timings


async def send_at_rate(
    client: httpx2.AsyncClient, endpoint: Endpoint, requests: Sequence[Request], *, rate: float, seed: int
) -> list[Timed]:
    """Requests arrive as a Poisson process of `rate` per second, without waiting. Times in their order."""
    draws, arrival, sent = random.Random(seed), 0.0, []
    start = time.perf_counter()
    for request in requests:
        await asyncio.sleep(max(0.0, arrival - (time.perf_counter() - start)))
        sent.append(asyncio.create_task(send(client, endpoint, request)))
        arrival += draws.expovariate(rate)
    return list(await asyncio.gather(*sent))


async def send(client: httpx2.AsyncClient, endpoint: Endpoint, request: Request) -> Timed:
    """Times one request; `failed` has its error."""
    import httpx2

    try:
        knows = _KNOWS_FIELD.get(client)
        if knows is not False:
            status, timed = await _send_once(client, endpoint, request, _ASK_FOR_COUNT)
            if status == 200:
                _KNOWS_FIELD[client] = True
            if knows or status == 200 or status in _OTHER_REASONS:
                return timed
        status, timed = await _send_once(client, endpoint, request, {})
        if status == 200:
            _KNOWS_FIELD.setdefault(client, False)
        return timed
    except httpx2.TimeoutException:
        return Timed(failed=f"no answer within {endpoint.timeout:g} s")
    except _list_request_errors() as error:
        return Timed(failed=describe_error(error, endpoint.read_key()))


async def _send_once(
    client: httpx2.AsyncClient, endpoint: Endpoint, request: Request, more: Json
) -> tuple[int, Timed]:
    """The status and the times. Raises one of _list_request_errors()."""
    url, content = encode_request(endpoint, request, stream=True, **more)
    sent = time.perf_counter()
    async with client.stream("POST", url, content=content) as response:
        if response.status_code == 200:
            return 200, await _read(response, sent)
        await response.aread()
        why = describe_error(read_error_body(response), endpoint.read_key())
        return response.status_code, Timed(failed=f"status {response.status_code}: {why}")


@cache
def _list_request_errors() -> tuple[type[Exception], ...]:
    """Possible errors of one request. The last four occur if a piece has another form."""
    import httpx2

    return (
        *list_connection_errors(),
        httpx2.InvalidURL,
        MeasureError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    )


async def _read(response: httpx2.Response, sent: float) -> Timed:
    """The times of a stream that has begun. Raises one of _list_request_errors()."""
    first = last = 0.0
    pieces, is_complete, shows_thoughts = 0, False, False
    usage: Json = {}
    async with aclosing(_read_events(response)) as events:
        async for data in events:
            now = time.perf_counter()
            if data == _END:
                is_complete = True
                break
            event = json.loads(data)
            if "error" in event:
                raise ValueError(f"the server says {read_error_message(event)}")
            usage = event.get("usage") or usage
            for choice in event.get("choices") or ():
                is_complete = is_complete or choice.get("finish_reason") is not None
                # text of completions, or of a chat, in which a model may think or call tools
                delta = choice.get("delta") or {}
                if choice.get("text") or any(delta.get(name) for name in _TEXTS):
                    first, last, pieces = first or now, now, pieces + 1
                shows_thoughts = shows_thoughts or any(delta.get(name) for name in _THOUGHTS)
        end = time.perf_counter()
        await _drain(events)
    if not is_complete:
        return Timed(failed="the answer was cut off")
    first, last = first or end, last or end
    count = max(_count_tokens(usage, shows_thoughts=shows_thoughts), pieces)
    between = (last - first) / (count - 1) if count > 1 and last > first else None
    return Timed(first - sent, end - sent, between, count)


def _count_tokens(usage: Json, *, shows_thoughts: bool) -> int:
    """The tokens of the streamed text by the server's count, or 0. Thoughts count only if they are shown."""
    tokens = int(usage.get("completion_tokens") or 0)
    if shows_thoughts:
        return tokens
    details = usage.get("completion_tokens_details") or {}
    return tokens - int(details.get("reasoning_tokens") or 0)


async def _drain(events: AsyncIterator[bytes]) -> None:
    """Reads the rest after the end, so that the connection can serve the next request."""
    with suppress(TimeoutError, *list_connection_errors()):
        async with asyncio.timeout(_LAST_BYTES):
            async for _ in events:
                pass


async def _read_events(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The data of each event, as soon as its line is complete.

    httpx's own line reader takes longer, and splits at characters that JSON may hold, such as U+2028.
    """
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
    if rest.startswith(b"data:"):
        yield rest[5:].strip()
