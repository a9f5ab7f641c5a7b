"""Times of requests to an OpenAI-compatible server, whose answers come in pieces (server-sent events).

    async with open_client(endpoint, connections=8) as client:
        timed = await send_closed_loop(client, endpoint, requests, users=8)

Nothing is sent twice: a request that fails has no time.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from slimgate.errors import MeasureError
from slimgate.models.ask import Endpoint, Request, encode_request
from slimgate.models.retries import lost_connections
from slimgate.models.server_errors import describe, message_of

if TYPE_CHECKING:
    import httpx2

_END = b"[DONE]"
_TEXTS = ("content", "reasoning_content", "tool_calls")
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

    async def work(mine: Iterator[tuple[int, Request]]) -> None:
        for place, request in mine:
            timings[place] = await send(client, endpoint, request)

    await asyncio.gather(*(work(todo) for _ in range(min(users, len(requests)))))
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
        url, content = encode_request(endpoint, request, stream=True)
        sent = time.perf_counter()
        async with client.stream("POST", url, content=content) as response:
            if response.status_code != 200:
                return Timed(failed=f"status {response.status_code}")
            return await _read(response, sent)
    except httpx2.TimeoutException:
        return Timed(failed=f"no answer within {endpoint.timeout:g} s")
    except _failures() as error:
        return Timed(failed=describe(error, endpoint.read_key()))


@cache
def _failures() -> tuple[type[Exception], ...]:
    """Possible errors of one request. The last four: a piece has another form."""
    import httpx2

    return (
        *lost_connections(),
        httpx2.InvalidURL,
        MeasureError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    )


async def _read(response: httpx2.Response, sent: float) -> Timed:
    """The times of a stream that has begun. Raises one of _failures()."""
    first = last = 0.0
    pieces, tokens, is_complete = 0, 0, False
    async with aclosing(_events(response)) as events:
        async for data in events:
            now = time.perf_counter()
            if data == _END:
                is_complete = True
                break
            event = json.loads(data)
            if "error" in event:
                raise ValueError(f"the server says {message_of(event)}")
            if usage := event.get("usage"):
                tokens = int(usage.get("completion_tokens") or 0)
            for choice in event.get("choices") or ():
                is_complete = is_complete or choice.get("finish_reason") is not None
                # text of completions, or of a chat, in which a model may think or call tools
                delta = choice.get("delta") or {}
                if choice.get("text") or any(delta.get(name) for name in _TEXTS):
                    first, last, pieces = first or now, now, pieces + 1
        end = time.perf_counter()
        await _drain(events)
    if not is_complete:
        return Timed(failed="the answer was cut off")
    first, last = first or end, last or end
    count = max(tokens, pieces)
    between = (last - first) / (count - 1) if count > 1 and last > first else None
    return Timed(first - sent, end - sent, between, count)


async def _drain(events: AsyncIterator[bytes]) -> None:
    """Reads the rest after the end, so that the connection can serve the next request."""
    with suppress(TimeoutError, *lost_connections()):
        async with asyncio.timeout(_LAST_BYTES):
            async for _ in events:
                pass


async def _events(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
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
