"""Times of requests to an OpenAI-compatible server, whose answers come in pieces (server-sent events).

    async with open_client(endpoint, connections=8) as client:
        timed = await send_closed_loop(client, endpoint, requests, users=8)

Nothing is sent twice: a request that fails has no time. The pieces are read by httpx alone, because the
checks of the openai package take as long as a fast server's token.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimgate.models.ask import Endpoint, Request

if TYPE_CHECKING:
    import httpx2

_LONGEST = 200
_END = "[DONE]"


@dataclass(frozen=True)
class Timed:
    """One request, in seconds since it was sent. failed: why it has no times.

    first: until the first piece of text; total: until the end. between: the mean from one token to the next,
    by the server's count of tokens, else by pieces; None of an answer of one token.
    """

    first: float = 0.0
    total: float = 0.0
    between: float | None = None
    tokens: int = 0
    failed: str | None = None


def open_client(endpoint: Endpoint, *, connections: int) -> httpx2.AsyncClient:
    """A client that keeps its connections open."""
    import httpx2

    return httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {endpoint.read_key()}"},
        timeout=endpoint.timeout,
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
    )


async def send_closed_loop(
    client: httpx2.AsyncClient, endpoint: Endpoint, requests: Sequence[Request], *, users: int
) -> list[Timed]:
    """Each of the users sends the next request when its last one is answered. In the requests' order."""
    found: list[Timed] = [Timed()] * len(requests)
    todo = iter(enumerate(requests))

    async def work(mine: Iterator[tuple[int, Request]]) -> None:
        for place, request in mine:
            found[place] = await send(client, endpoint, request)

    await asyncio.gather(*(work(todo) for _ in range(min(users, len(requests)))))
    return found


async def send_at_rate(
    client: httpx2.AsyncClient, endpoint: Endpoint, requests: Sequence[Request], *, rate: float, seed: int
) -> list[Timed]:
    """Requests arrive as a Poisson process of `rate` a second; none waits for another. In their order."""
    draws, arrival, sent = random.Random(seed), 0.0, []
    start = time.perf_counter()
    for request in requests:
        await asyncio.sleep(max(0.0, arrival - (time.perf_counter() - start)))
        sent.append(asyncio.create_task(send(client, endpoint, request)))
        arrival += draws.expovariate(rate)
    return list(await asyncio.gather(*sent))


async def send(client: httpx2.AsyncClient, endpoint: Endpoint, request: Request) -> Timed:
    """One request; what goes wrong with it is in `failed`."""
    import httpx2

    chat = not isinstance(request.prompt, str)
    body = {"model": endpoint.model, "stream": True, **request.options}
    body["messages" if chat else "prompt"] = request.prompt
    url = f"{endpoint.url}/{'chat/completions' if chat else 'completions'}"
    sent = time.perf_counter()
    try:
        async with client.stream("POST", url, json=body) as response:
            if response.status_code != 200:
                return Timed(failed=f"status {response.status_code}")
            return await _read(response, sent)
    except httpx2.TimeoutException:
        return Timed(failed=f"no answer within {endpoint.timeout:g} s")
    except (httpx2.HTTPError, ValueError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        return Timed(failed=said.replace(endpoint.read_key(), "***")[:_LONGEST])


async def _read(response: httpx2.Response, sent: float) -> Timed:
    """The times of a stream that has begun. Raises ValueError where a piece is no JSON."""
    first = last = 0.0
    pieces, tokens, whole = 0, None, False
    async for line in response.aiter_lines():
        if not line.startswith("data:"):
            continue
        now, data = time.perf_counter(), line[5:].strip()
        if data == _END:
            whole = True
            break
        event = json.loads(data)
        if "error" in event:
            raise ValueError(f"the server says {event['error']}")
        with suppress(TypeError, KeyError):
            tokens = int(event["usage"]["completion_tokens"])
        for choice in event.get("choices") or ():
            whole = whole or choice.get("finish_reason") is not None
            if _text_of(choice):
                first, last, pieces = first or now, now, pieces + 1
    end = time.perf_counter()
    if not whole:
        return Timed(failed="the answer was cut off")
    first, last = first or end, last or end
    count = max(tokens or 0, pieces)
    between = (last - first) / (count - 1) if count > 1 and last > first else None
    return Timed(first - sent, end - sent, between, count)


def _text_of(choice: dict[str, Any]) -> str:
    """The text of a piece: of completions, or of a chat, where a model may think first."""
    delta = choice.get("delta") or {}
    return str(choice.get("text") or delta.get("content") or delta.get("reasoning_content") or "")
