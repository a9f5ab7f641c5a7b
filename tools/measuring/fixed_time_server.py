"""An OpenAI-compatible server that answers each chat after the same time.

    python -m tools.measuring.fixed_time_server SECONDS

It writes its port to stdout. It imports nothing of slimgate, so it starts quickly and takes little CPU.
"""

from __future__ import annotations

import asyncio
import json
import sys

# The number of pieces of a streamed answer, which come in equal steps of time.
PIECES = 16
TEXT = "an answer of a few words, such as a small model gives"


async def serve(seconds: float) -> None:
    """Writes its port to stdout, and answers until it is killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answers(seconds), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


class _Answers(asyncio.Protocol):
    """One connection. Requests on it come one after another; each POST has a Content-Length."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._received = seconds, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET "):  # it has no settings to state
            self._received = b""
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if len(body) < int(lengths[0]):
            return
        self._received, loop = b"", asyncio.get_running_loop()
        if not json.loads(body).get("stream"):
            loop.call_later(self._seconds, self._transport.write, _WHOLE)
            return
        self._transport.write(_make_head("text/event-stream", "Transfer-Encoding: chunked"))
        for place in range(PIECES):
            last = place == PIECES - 1
            loop.call_later(
                self._seconds * (place + 1) / PIECES, self._transport.write, _LAST if last else _PIECE
            )


def _make_head(kind: str, length: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{length}\r\n\r\n".encode()


def _make_whole_answer() -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
    usage = {"prompt_tokens": 90, "completion_tokens": PIECES, "total_tokens": 90 + PIECES}
    answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    body = json.dumps({**answer, "choices": [choice], "usage": usage}).encode()
    return _make_head("application/json", f"Content-Length: {len(body)}") + body


def _make_piece(finish: str | None = None) -> bytes:
    """A chunk with an event. finish: only for the last chunk, which also ends the answer."""
    choice = {"index": 0, "finish_reason": finish, "delta": {"content": " word"}}
    answer = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    events = f"data: {json.dumps(answer)}\n\n" + ("data: [DONE]\n\n" if finish else "")
    return f"{len(events):x}\r\n{events}\r\n".encode() + (b"0\r\n\r\n" if finish else b"")


_WHOLE, _PIECE, _LAST = _make_whole_answer(), _make_piece(), _make_piece("stop")


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
