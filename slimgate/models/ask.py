"""Asks an OpenAI-compatible server for answers, a few requests at a time.

The openai package sends a request again after 429, 5xx, a lost connection or a timeout, with growing pauses.
A request that fails all the same is a Reply too, so that each request has one. Two things end the run: a
server that refuses the key or does not know the model, and one that cannot be reached any more. What was
answered until then has been given to `answered`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from slimgate.errors import MeasureError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

# After so many requests in a row that did not reach the server, it counts as gone.
GONE_AFTER = 16
_LONGEST = 300


class Endpoint(Protocol):
    """Where and how to ask."""

    @property
    def url(self) -> str:
        """Where the API begins."""

    @property
    def model(self) -> str:
        """Its name on the server."""

    @property
    def concurrency(self) -> int:
        """Requests at the same time, at most."""

    @property
    def timeout(self) -> float:
        """Seconds."""

    @property
    def retries(self) -> int:
        """How often a request is sent again."""

    def read_key(self) -> str:
        """The key, now."""


@dataclass(frozen=True)
class Request:
    """A prompt: text for completions, or messages for chat completions. options: further fields to send."""

    prompt: str | list[dict[str, str]]
    options: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What came of a request. finish: why the server ended the text, such as "stop" or "length".

    tokens: of the answer, where the server counts them. failed: why there is no answer. log_probability: of
    the prompt, in nats, with the tokens that it is of, where the request asks for it.
    """

    text: str = ""
    finish: str | None = None
    tokens: int | None = None
    failed: str | None = None
    log_probability: float | None = None


# What a request asks for that wants the log-probability of its prompt, and one token that is thrown away.
PROMPT_LOGPROBS = MappingProxyType({"echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0.0})


def ask(endpoint: Endpoint, requests: Sequence[Request], answered: Callable[[int, Reply], None]) -> None:
    """Calls answered(place, reply) once for each request, in the order in which they are done.

    Raises MeasureError where the server refuses the key or the model, where it cannot be reached any more,
    and where every request failed.
    """
    asyncio.run(_Asking(endpoint, requests, answered).run())


class _Asking:
    def __init__(
        self, endpoint: Endpoint, requests: Sequence[Request], answered: Callable[[int, Reply], None]
    ) -> None:
        self._endpoint, self._answered = endpoint, answered
        self._requests, self._todo = requests, iter(enumerate(requests))
        self._failed: Counter[str] = Counter()
        self._unreached = 0
        self._fatal: str | None = None

    async def run(self) -> None:
        from openai import AsyncOpenAI

        async def key() -> str:
            return self._endpoint.read_key()

        async with AsyncOpenAI(
            api_key=key,
            base_url=self._endpoint.url,
            timeout=self._endpoint.timeout,
            max_retries=self._endpoint.retries,
        ) as client:
            workers = min(self._endpoint.concurrency, max(len(self._requests), 1))
            await asyncio.gather(*(self._work(client) for _ in range(workers)))
        self._raise_if_useless()

    def _raise_if_useless(self) -> None:
        where = f"{self._endpoint.model} at {self._endpoint.url}"
        if self._fatal is not None:
            raise MeasureError(f"{where}: {self._fatal}")
        if self._requests and self._failed.total() == len(self._requests):
            [(why, _)] = self._failed.most_common(1)
            raise MeasureError(f"{where}: all {len(self._requests)} requests failed: {why}")

    def _next(self) -> Iterator[tuple[int, Request]]:
        """The requests that nobody has taken, until something ends the run."""
        while self._fatal is None and (found := next(self._todo, None)) is not None:
            yield found

    async def _work(self, client: AsyncOpenAI) -> None:
        for place, request in self._next():
            reply = await self._send(client, request)
            if reply is None:
                return
            if reply.failed is not None:
                self._failed[reply.failed] += 1
            self._answered(place, reply)

    async def _send(self, client: AsyncOpenAI, request: Request) -> Reply | None:
        """None where the run has to end. Nothing of a request is in a message: it holds the key."""
        import openai

        try:
            reply = await _post(client, self._endpoint.model, request)
        except MeasureError as error:
            self._fatal = str(error)
            return None
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            self._fatal = f"status {error.status_code}: {self._said(error)}"
            return None
        except openai.APITimeoutError:
            return Reply(failed=f"no answer within {self._endpoint.timeout:g} s")
        except openai.APIConnectionError as error:
            self._unreached += 1
            why = f"the connection failed ({self._said(error.__cause__ or error)})"
            if self._unreached < GONE_AFTER:
                return Reply(failed=why)
            self._fatal = f"{why}; run again when it is there: answers so far are kept"
            return None
        except openai.APIStatusError as error:
            return Reply(failed=f"status {error.status_code}: {self._said(error)}")
        except (openai.OpenAIError, ValueError, LookupError, TypeError, AttributeError) as error:
            return Reply(failed=f"an answer that cannot be read ({self._said(error)})")
        self._unreached = 0
        return reply

    def _said(self, error: BaseException) -> str:
        """An error in one short line, without the key: a server may repeat it."""
        said = " ".join(str(error).split()) or type(error).__name__
        return said.replace(self._endpoint.read_key(), "***")[:_LONGEST]


async def _post(client: AsyncOpenAI, model: str, request: Request) -> Reply:
    """Sends a request. The package's own classes of answers take as long as all else: they are left out."""
    import httpx2

    chat = not isinstance(request.prompt, str)
    path, field = ("/chat/completions", "messages") if chat else ("/completions", "prompt")
    body = {"model": model, field: request.prompt, **request.options}
    response = await client.post(path, cast_to=httpx2.Response, body=body)
    found = response.json()
    choice = found["choices"][0]
    if request.options.get("echo"):
        return _read_logprobs(choice, found.get("usage"))
    text = choice["message"]["content"] if chat else choice["text"]
    usage = found.get("usage")
    tokens = None if usage is None else int(usage["completion_tokens"])
    return Reply(str(text or ""), choice.get("finish_reason"), tokens)


def _read_logprobs(choice: Any, usage: Any) -> Reply:
    """The log-probability of the prompt's tokens after the first. Raises MeasureError where it is not there.

    The first tokens are the prompt's; what follows is the token that had to be written.
    """
    values = (choice.get("logprobs") or {}).get("token_logprobs") or []
    count = len(values) - 1 if usage is None else int(usage["prompt_tokens"])
    known = values[1:count]
    if not known or len(values) < count or not all(one is not None and isfinite(one) for one in known):
        raise MeasureError(
            "the server gives no log-probabilities of the prompt (asked for by echo = true and logprobs = 1 "
            "of /completions), which this task needs; vLLM gives them, llama-server and transformers serve "
            "do not"
        )
    return Reply(tokens=len(known), log_probability=float(sum(known)))
