"""A server's error message in one short line that does not hold the key."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from slimgate.errors import MeasureError

if TYPE_CHECKING:
    import httpx2

_LONGEST = 300
# A client follows these redirects with a GET without the body; 307 and 308 keep the POST.
_LOSE_THE_BODY = frozenset({301, 302, 303})
_LAST_PARTS = re.compile(r"(/chat)?/completions$")


def describe(error: BaseException | str, key: str) -> str:
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
                f"{describe(_LAST_PARTS.sub('', shown), key)}; write that url"
            )

    return check
