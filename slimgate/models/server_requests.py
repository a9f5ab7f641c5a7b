"""Posts a request to a server, posts it again after a temporary error, and describes errors in one line.

    response = await post(client, f"{url}/completions", content, retries=6)

The temporary errors and the pauses are those of the openai package. Its own request function takes longer
than all of httpx, and that time would be part of each request. A described error does not hold the key.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from slimgate.errors import MeasureError

if TYPE_CHECKING:
    import httpx2

# Seconds of the first pause; pauses double up to the longest one.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
# The longest pause that a server may ask for. If it asks for more, the request is not sent again.
MAX_RETRY_AFTER = 120.0
_TEMPORARY_STATUSES = frozenset({408, 409, 429})
# The longest description of an error, in characters.
_LONGEST = 300
# A client follows these redirects with a GET without the body; 307 and 308 keep the POST.
_LOSE_THE_BODY = frozenset({301, 302, 303})
_LAST_PARTS = re.compile(r"(/chat)?/completions$")


@cache
def list_connection_errors() -> tuple[type[Exception], ...]:
    """Errors of a request without a response. httpx2 lets two TLS errors through."""
    import anyio
    import httpx2

    return (httpx2.RequestError, ssl.SSLError, anyio.EndOfStream)


async def post(client: httpx2.AsyncClient, url: str, content: bytes, *, retries: int) -> httpx2.Response:
    """The response, which may be a refusal. Raises list_connection_errors() if the last try has none."""
    for retry in range(retries):
        try:
            response = await client.post(url, content=content)
        except list_connection_errors():
            retry_after = None
        else:
            if response.is_success:
                return response
            retry_after = read_retry_after(response)
            if not is_temporary(response, retry_after):
                return response
        await asyncio.sleep(draw_pause(retry) if retry_after is None else retry_after)
    return await client.post(url, content=content)


def draw_pause(retry: int) -> float:
    """Seconds before a retry (from 0), minus a random part of up to a quarter, so that requests differ."""
    return min(FIRST_PAUSE * 2.0 ** min(retry, 10), LONGEST_PAUSE) * random.uniform(0.75, 1.0)


def is_temporary(response: httpx2.Response, retry_after: float | None) -> bool:
    """Whether the same request may succeed later. retry_after: seconds that the server asks to wait."""
    if retry_after is not None and retry_after > MAX_RETRY_AFTER:
        return False
    header = response.headers.get("x-should-retry")
    if header in ("true", "false"):
        return bool(header == "true")
    return response.status_code in _TEMPORARY_STATUSES or response.status_code >= 500


def read_retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the server asks to wait: a number, or a date."""
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = response.headers.get(header)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = parsedate_to_datetime(value).timestamp() - time.time()
            except (ValueError, OverflowError):
                continue
        if seconds > 0:
            return seconds
    return None


def describe_error(error: BaseException | str, key: str) -> str:
    """An error in one short line. If it repeats the key, *** replaces the key."""
    text = " ".join(hide_key(str(error), key).split()) or type(error).__name__
    return text[:_LONGEST].encode("utf-8", "replace").decode()  # JSON may hold half of a character


def hide_key(text: str, key: str) -> str:
    r"""The text with *** for the key: as plain text, in a URL, and in JSON, which may write \/ for /."""
    for form in (key, quote(key, safe="")):
        text = re.sub(r"\\*".join(map(re.escape, form)), "***", text)
    return text


def read_error_body(response: httpx2.Response) -> str:
    """The error in a response: the message of OpenAI's form, else the whole body."""
    try:
        return read_error_message(response.json())
    except ValueError:  # no JSON
        return response.text or str(response.reason_phrase)


def read_error_message(body: object) -> str:
    """The message of OpenAI's form if it is a text, else all of the JSON, without needless escapes."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if message and isinstance(message, str) else json.dumps(body, ensure_ascii=False)


def refuse_redirects(key: str) -> Callable[[httpx2.Response], Awaitable[None]]:
    """A hook of a client that raises MeasureError for a redirect that would lose the request's body."""

    async def check(response: httpx2.Response) -> None:
        if response.status_code in _LOSE_THE_BODY and "location" in response.headers:
            target = response.url.join(response.headers["location"])
            shown = str(target.copy_with(username=None, password=None, query=None, fragment=None))
            raise MeasureError(
                f"status {response.status_code}: the server redirects to "
                f"{describe_error(_LAST_PARTS.sub('', shown), key)}; write that url"
            )

    return check
