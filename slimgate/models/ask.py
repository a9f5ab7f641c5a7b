"""Asks an OpenAI-compatible server for answers, a few requests at a time.

A request is sent again after 429, 5xx, a lost connection or a timeout, with growing pauses. If it still
fails, its Reply has the reason, so each request gets a Reply. The run ends early if the server refuses the
key, does not know the model, or can no longer be reached. `on_reply` gets all replies until then.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from slimgate.errors import MeasureError
from slimgate.judge.tool_calls import format_calls
from slimgate.models.server_requests import (
    describe_error,
    list_connection_errors,
    post,
    read_error_body,
    refuse_redirects,
)

if TYPE_CHECKING:
    import httpx2

    from slimgate.plugins.base import Json

# The server counts as unreachable after this many requests in a row that did not reach it.
GONE_AFTER = 16
# The server refuses the key, or does not know the model: no other request would be answered.
_FATAL_STATUSES = frozenset({401, 403, 404})


class Endpoint(Protocol):
    """A server, and the settings of requests to it."""

    @property
    def url(self) -> str:
        """The URL of the API."""

    @property
    def model(self) -> str:
        """The model's name on the server."""

    @property
    def concurrency(self) -> int:
        """The largest number of requests at the same time."""

    @property
    def timeout(self) -> float:
        """The time limit of a request in seconds."""

    @property
    def retries(self) -> int:
        """The number of times that a failed request is sent again."""

    def read_key(self) -> str:
        """Reads the key at the time of the call."""


@dataclass(frozen=True)
class Request:
    """A prompt: text for completions, or messages for chat completions. options: further fields to send."""

    prompt: str | list[Json]
    options: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """The result of a request.

    finish: why the server ended the text, such as "stop" or "length". tokens: the length of the answer, if
    the server counts tokens. failed: why there is no answer. log_probability: of the prompt, in nats, if the
    request asks for it; then `tokens` is the number of tokens that it covers.
    """

    text: str = ""
    finish: str | None = None
    tokens: int | None = None
    failed: str | None = None
    log_probability: float | None = None


# Fields of a request for the log-probability of its prompt. The answer of one token is dropped.
PROMPT_LOGPROBS = MappingProxyType({"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0.0})


def open_client(endpoint: Endpoint, *, connections: int) -> httpx2.AsyncClient:
    """A client that keeps its connections open, and sends the key.

    A request raises MeasureError if the server redirects it in a way that loses the body.
    """
    import httpx2

    key = endpoint.read_key()
    return httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        timeout=endpoint.timeout,
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=True,
        event_hooks={"response": [refuse_redirects(key)]},
    )


def encode_request(endpoint: Endpoint, request: Request, **more: object) -> tuple[str, bytes]:
    """The URL of a request, and its JSON. more: further fields.

    Raises ValueError or TypeError for a value that JSON cannot express.
    """
    if isinstance(request.prompt, str):
        path, field = "completions", "prompt"
    else:
        path, field = "chat/completions", "messages"
    body = {"model": endpoint.model, **more, field: request.prompt, **request.options}
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"{endpoint.url}/{path}", content.encode()


def ask(endpoint: Endpoint, requests: Sequence[Request], on_reply: Callable[[int, Reply], None]) -> None:
    """Sends requests. Calls on_reply(place, reply) once for each request, in the order in which they finish.

    Raises MeasureError if the server refuses the key or the model, if it can no longer be reached,
    and if every request failed.
    """
    asyncio.run(_RequestRun(endpoint, requests, on_reply).run())


class _RequestRun:
    def __init__(
        self, endpoint: Endpoint, requests: Sequence[Request], on_reply: Callable[[int, Reply], None]
    ) -> None:
        self._endpoint, self._on_reply = endpoint, on_reply
        self._requests, self._todo = requests, iter(enumerate(requests))
        self._failed: Counter[str] = Counter()
        self._unreached = 0
        self._fatal: str | None = None

    async def run(self) -> None:
        workers = min(self._endpoint.concurrency, max(len(self._requests), 1))
        async with open_client(self._endpoint, connections=workers) as client:
            await asyncio.gather(*(self._work(client) for _ in range(workers)))
        self._raise_if_failed()

    def _raise_if_failed(self) -> None:
        where = f"{self._endpoint.model} at {self._endpoint.url}"
        if self._fatal is not None:
            raise MeasureError(f"{where}: {self._fatal}")
        if self._requests and self._failed.total() == len(self._requests):
            [(why, _)] = self._failed.most_common(1)
            raise MeasureError(f"{where}: all {len(self._requests)} requests failed: {why}")

    def _take_requests(self) -> Iterator[tuple[int, Request]]:
        """The requests that no other task has taken. If the run ends early, there are no more."""
        while self._fatal is None and (request := next(self._todo, None)) is not None:
            yield request

    async def _work(self, client: httpx2.AsyncClient) -> None:
        for place, request in self._take_requests():
            reply = await self._send(client, request)
            if reply is None:
                return
            if reply.failed is not None:
                self._failed[reply.failed] += 1
            self._on_reply(place, reply)

    async def _send(self, client: httpx2.AsyncClient, request: Request) -> Reply | None:
        """Sends a request; None if the run must end. No message shows the request, because it has the key."""
        import httpx2

        try:
            url, content = encode_request(self._endpoint, request)
        except (ValueError, TypeError) as error:
            return Reply(failed=f"a prompt that is not JSON ({self._describe(error)})")
        try:
            response = await post(client, url, content, retries=self._endpoint.retries)
        except httpx2.TimeoutException:
            return Reply(failed=f"no answer within {self._endpoint.timeout:g} s")
        except list_connection_errors() as error:
            return self._count_unreached(error)
        except (httpx2.InvalidURL, MeasureError) as error:
            self._fatal = self._describe(error)
            return None
        self._unreached = 0
        if not response.is_success:
            why = f"status {response.status_code}: {self._describe(read_error_body(response))}"
            if response.status_code not in _FATAL_STATUSES:
                return Reply(failed=why)
            self._fatal = why
            return None
        try:
            return _read_reply(request, response.json())
        except MeasureError as error:
            self._fatal = str(error)
            return None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            return Reply(failed=f"an answer that cannot be read ({self._describe(error)})")

    def _count_unreached(self, error: Exception) -> Reply | None:
        self._unreached += 1
        why = f"the connection failed ({self._describe(error)})"
        if self._unreached < GONE_AFTER:
            return Reply(failed=why)
        self._fatal = f"{why}; start the server and run again: answers so far are kept"
        return None

    def _describe(self, cause: BaseException | str) -> str:
        """An error in one short line. The key is left out, because a server may repeat it."""
        return describe_error(cause, self._endpoint.read_key())


def _read_reply(request: Request, body: Json) -> Reply:
    """Reads the JSON of a reply. Raises MeasureError if the log-probabilities of the prompt are missing."""
    choice, usage = body["choices"][0], body.get("usage")
    if request.options.get("echo"):
        return _read_logprobs(choice, usage)
    if isinstance(request.prompt, str):
        text = choice["text"]
    else:  # if there are tool calls, they replace the text
        calls = choice["message"].get("tool_calls")
        text = format_calls(calls) if calls else _read_content(choice["message"].get("content"))
    tokens = None if usage is None else int(usage["completion_tokens"])
    return Reply(str(text or ""), choice.get("finish_reason"), tokens)


def _read_content(content: str | Sequence[Json] | None) -> str | None:
    """The text of a message. If it comes in parts, only those of type text count, and not the thoughts."""
    if content is None or isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def _read_logprobs(choice: Json, usage: Mapping[str, int] | None) -> Reply:
    """The log-probability of the prompt's tokens, except the first. Raises MeasureError if it is missing.

    The list has the tokens of the prompt, and then the token that the server had to write.
    """
    values = (choice.get("logprobs") or {}).get("token_logprobs") or []
    count = len(values) - 1 if usage is None else int(usage["prompt_tokens"])
    known = values[1:count]
    if (
        not known
        or len(values) < count
        or not all(number is not None and isfinite(number) for number in known)
    ):
        raise MeasureError(
            "the server gives no log-probabilities of the prompt (asked for by echo = true and logprobs = 1 "
            "of /completions), which this task needs; vLLM gives them, llama-server and transformers serve "
            "do not"
        )
    return Reply(tokens=len(known), log_probability=float(sum(known)))
