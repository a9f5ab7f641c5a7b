"""An OpenAI-compatible server for tests: it answers with the last word of the prompt, or fails as planned.

A letter of the word is a token.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# (prompt, how often it was asked) -> what the server does:
#   answer                      answers with the word
#   status 429 Retry-After: 2   answers with this status, and with this header if there is one
#   body TEXT                   answers with status 500 and this body
#   hang, drop, cut             closes the connection late; closes it inside an answer; sends one letter
#   no json, no logprobs        sends no JSON; echoes without log-probabilities
#   strict 415                  refuses stream_options with this status (default 422)
#   calls JSON                  answers with these tool_calls, a list of {name, arguments}
#   parts                       answers with a thought, and then the word in two parts
# A streamed answer only:
#   in pairs                    sends two letters at a time
#   calls, thoughts FIELD       sends the word as the arguments of a call, or as a thought in this field
#   thinks unseen               counts two tokens before the word that it does not send
#   error, break off            ends with an error, or without an end
Plan = Callable[[str, int], str]
FAULTS = ("status 500", "status 429", "status 400", "status 401", "hang", "cut", "drop", "no json")
HANG_SECONDS = 1.5


class AnswerServer(ThreadingHTTPServer):
    """The server.

    asked: how often each prompt was sent. headers, bodies: of every POST. delay: seconds of an answer.
    connections: how many were made. at_once, most_at_once: open requests now, and the most so far.
    pages: by path, the answers to GET; bytes are sent unchanged, with `pause` seconds after each byte.
    fetched: the paths of all GET requests.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, plan: Plan, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.plan, self.asked = plan, Counter[str]()
        self.delay = 0.0
        self.pause, self.fetched = 0.0, list[str]()
        self.pages: dict[str, Any] = {"/v1/models": {"object": "list", "data": []}}
        self.headers: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = self.connections = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: clients that close the connection are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: AnswerServer
    protocol_version = "HTTP/1.1"
    # Otherwise a body waits 40 ms for the client's acknowledgement of the headers before it.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_GET(self) -> None:
        self.server.fetched.append(self.path)
        answer = self.server.pages.get(self.path)
        if isinstance(answer, bytes) and self.server.pause:
            self._drip(answer)
        elif isinstance(answer, bytes):
            self._send_bytes(200, answer)
        else:
            self._send(404 if answer is None else 200, answer or {"error": "no such page"})

    def _drip(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for byte in content:
            self.wfile.write(bytes([byte]))
            time.sleep(self.server.pause)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        server = self.server
        with server.lock:
            server.asked[prompt] += 1
            came = server.asked[prompt]
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.bodies.append({**body, "path": self.path})
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        self._stream, self._echo = bool(body.get("stream")), bool(body.get("echo"))
        self._options = body.get("stream_options")
        try:
            self._answer(server.plan(prompt, came), prompt, chat="messages" in body)
        finally:
            with server.lock:
                server.at_once -= 1

    def _answer(self, text: str, prompt: str, *, chat: bool) -> None:
        if text.startswith("status"):
            key = self.headers.get("Authorization", "")
            _, code, *header = text.split(maxsplit=2)
            self._send(int(code), {"error": {"message": f"refused, {key}"}}, *header)
        elif text.startswith("body "):
            self._send_bytes(500, text.removeprefix("body ").encode())
        elif text == "hang":
            time.sleep(HANG_SECONDS)
            self.close_connection = True
        elif text == "drop":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices"')
            self.close_connection = True
        elif text == "no json":
            self._send(200, "not an answer")
        elif self._echo:
            self._send(200, make_echo_json(prompt, logprobs=text != "no logprobs"))
        elif text.startswith("strict") and self._options is not None:
            self._send(
                int(text[7:] or 422),
                {"detail": [{"loc": ["body", "stream_options"], "type": "extra_forbidden"}]},
            )
        elif self._stream:
            self._send_pieces(prompt, text, chat=chat)
        elif text.startswith("calls "):
            self._send(200, make_calls_json(json.loads(text.removeprefix("calls "))))
        elif text == "parts":
            self._send(200, make_parts_json(prompt))
        else:
            time.sleep(self.server.delay)
            self._send(200, make_answer_json(prompt, cut=text == "cut", chat=chat))

    def _send_pieces(self, prompt: str, text: str, *, chat: bool) -> None:
        """Streams the last word letter by letter, and then the end of the answer."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        word = prompt.split(" ")[-1]
        size = 2 if text == "in pairs" else 1
        for letters in (word[start : start + size] for start in range(0, len(word), size)):
            time.sleep(self.server.delay * len(letters) / len(word))
            if text == "calls":
                self._send_piece({"delta": {"tool_calls": [{"function": {"arguments": letters}}]}})
            elif text.startswith("thoughts "):
                self._send_piece({"delta": {text.removeprefix("thoughts "): letters}})
            else:
                self._send_piece({"delta": {"content": letters}} if chat else {"text": letters})
        if text == "error":
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            self._send_chunk(f"data: {json.dumps({'error': {'message': None, 'key': key}})}\n\n")
        if text != "break off":
            self._send_piece({"delta": {}} if chat else {"text": ""}, finish="stop")
            if (self._options or {}).get("include_usage"):
                self._send_event({"choices": [], "usage": make_usage_json(text, word)})
            self._send_chunk("data: [DONE]\n\n")
        self._send_chunk("")

    def _send_piece(self, content: dict[str, Any], finish: str | None = None) -> None:
        self._send_event({"choices": [{"index": 0, "finish_reason": finish, **content}]})

    def _send_event(self, value: dict[str, Any]) -> None:
        self._send_chunk(f"data: {json.dumps(value, ensure_ascii=False)}\n\n")

    def _send_chunk(self, text: str) -> None:
        """Sends a chunk. An empty chunk ends the answer."""
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _send(self, status: int, value: Any, *headers: str) -> None:
        self._send_bytes(status, json.dumps(value).encode(), *headers)

    def _send_bytes(self, status: int, text: bytes, *headers: str) -> None:
        self.send_response(status)
        for header in headers:
            self.send_header(*header.split(": "))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing."""


def make_usage_json(text: str, word: str) -> dict[str, Any]:
    """The token counts of a streamed word. text: the plan, which may add two tokens of thought."""
    unseen = 2 * (text == "thinks unseen")
    usage = {"prompt_tokens": 3, "completion_tokens": len(word) + unseen}
    if text in ("thinks unseen", "thoughts reasoning"):
        return {**usage, "completion_tokens_details": {"reasoning_tokens": unseen or len(word)}}
    return usage


def make_answer_json(prompt: str, *, cut: bool = False, chat: bool = False) -> dict[str, Any]:
    """An answer with the last word of the prompt. cut: only its first letter, ended by the length."""
    word = prompt.split()[-1]
    text = word[:1] if cut else word
    content = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    choice = {"index": 0, "finish_reason": "length" if cut else "stop", "logprobs": None, **content}
    kind = "chat.completion" if chat else "text_completion"
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return {"id": "1", "object": kind, "created": 0, "model": "m", "choices": [choice], "usage": usage}


def make_parts_json(prompt: str) -> dict[str, Any]:
    """An answer of a chat as Mistral's thinking models write it: a thought, and the text in two parts."""
    answer, word = make_answer_json("x", chat=True), prompt.split()[-1]
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    texts = [{"type": "text", "text": part} for part in (word[:1], word[1:])]
    message = {"role": "assistant", "content": [thought, *texts]}
    return {**answer, "choices": [{**answer["choices"][0], "message": message}]}


def make_calls_json(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """An answer of a chat with tool_calls, whose arguments are JSON text; a text stays as it is."""

    def to_text(arguments: object) -> str:
        return arguments if isinstance(arguments, str) else json.dumps(arguments)

    tool_calls = [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {"name": call["name"], "arguments": to_text(call["arguments"])},
        }
        for place, call in enumerate(calls)
    ]
    answer = make_answer_json("x", chat=True)
    message = {"role": "assistant", "content": None, "tool_calls": tool_calls}
    choice = {**answer["choices"][0], "message": message, "finish_reason": "tool_calls"}
    return {**answer, "choices": [choice]}


def make_echo_json(prompt: str, *, logprobs: bool) -> dict[str, Any]:
    """The prompt and one word more, as vLLM echoes it: a word of n letters has log-probability -n."""
    words = [*prompt.split(), "more"]
    values = [None, *(-float(len(word)) for word in words[1:])]
    content = {"tokens": words, "token_logprobs": values, "top_logprobs": None, "text_offset": []}
    choice = {"index": 0, "finish_reason": "length", "text": f"{prompt} more", "logprobs": content}
    usage = {"prompt_tokens": len(words) - 1, "completion_tokens": 1, "total_tokens": len(words)}
    answer = {"id": "1", "object": "text_completion", "created": 0, "model": "m", "usage": usage}
    return {**answer, "choices": [choice if logprobs else {**choice, "logprobs": None}]}


@contextmanager
def serving(plan: Plan = lambda _prompt, _came: "answer", *, port: int = 0) -> Iterator[AnswerServer]:
    """Runs a server in a thread during the block."""
    server = AnswerServer(plan, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
