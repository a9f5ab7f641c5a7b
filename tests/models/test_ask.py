"""What an answer of a server is read as."""

from __future__ import annotations

import pytest
from support.answer_server import serving

from slimgate.models.ask import Reply, Request, ask
from slimgate.runtimes.endpoint import EndpointTable

CALLS = 'calls [{"name": "f", "arguments": {}}]'


@pytest.mark.parametrize(
    ("plan", "text"),
    [("answer", "twelve"), ("parts", "twelve"), (CALLS, '[{"name": "f", "arguments": {}}]')],
    ids=["text", "parts", "calls"],
)
def test_the_text_of_a_chat_is_read_in_each_form(plan: str, text: str) -> None:
    replies: list[Reply] = []
    with serving(lambda *_: plan) as server:
        request = Request([{"role": "user", "content": "say twelve"}], {})
        ask(EndpointTable(url=server.url, model="m"), [request], lambda _, reply: replies.append(reply))
    assert [(reply.text, reply.failed) for reply in replies] == [(text, None)]
