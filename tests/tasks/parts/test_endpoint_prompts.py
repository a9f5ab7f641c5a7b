"""Answers of a server that fails: counts are exact, nothing is lost, and a stopped run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.answer_server import HANG_SECONDS, serving

from slimgate._system.child_server import find_free_port, is_port_taken
from slimgate.errors import MeasureError, SuiteError
from slimgate.models.ask import Reply
from slimgate.models.write_answers import SamplingParams
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes.endpoint import EndpointPredictor, EndpointTable
from slimgate.tasks.parts.endpoint_prompts import ask_for_answers, convert_reply, make_endpoint_prompts

SAMPLING = SamplingParams(max_new_tokens=4)


def ask(url: str, rows: int, *, reply_file: Path | None = None, repeats: int = 1, **options: Any) -> Any:
    endpoint = {"url": url, "model": "m", "retries": 0, "timeout": 10.0, **options}
    prompts = make_endpoint_prompts(
        [f"word{row}" for row in range(rows)], [str(row) for row in range(rows)], chat=False
    )
    predictor = EndpointPredictor(EndpointTable.model_validate(endpoint))
    return ask_for_answers(
        predictor, prompts, SAMPLING, AnswerPlan(1, reply_file=reply_file), repeats=repeats
    )


def number(prompt: str) -> int:
    return int(prompt.removeprefix("word"))


def test_200_requests_at_a_server_that_fails_are_counted_exactly() -> None:
    def plan(prompt: str, came: int) -> str:
        place = number(prompt)
        if place % 20 == 3:
            return "status 500" if came == 1 or place in (3, 23) else "answer"  # two fail for good
        if place % 100 == 50:
            return "hang" if came == 1 else "answer"
        return "cut" if place % 100 == 77 else "answer"

    with serving(plan) as server:
        rows = ask(server.url, 200, retries=1, timeout=HANG_SECONDS / 3, concurrency=16)
    answers = [answer for (answer,) in rows]
    kinds = Counter("failed" if answer.failed else "ended" if answer.ended else "cut" for answer in answers)
    assert kinds == {"ended": 196, "cut": 2, "failed": 2}
    assert [row for row, answer in enumerate(answers) if answer.failed] == [3, 23]
    assert all(
        answer.text == f"word{row}"
        for row, answer in enumerate(answers)
        if answer.ended and not answer.failed
    )
    assert answers[77].text == "w"
    assert server.most_at_once <= 16 + 2  # a request that hangs is given up before its server notices
    twice = {prompt for prompt, count in server.asked.items() if count == 2}
    assert twice == {f"word{row}" for row in range(200) if row % 20 == 3 or row % 100 == 50}


@pytest.mark.parametrize("fault", ["status 400", "no json", "drop", "hang"])
def test_a_request_that_fails_for_good_is_an_answer_that_failed(fault: str) -> None:
    with serving(lambda prompt, _: fault if prompt == "word1" else "answer") as server:
        rows = ask(server.url, 3, timeout=HANG_SECONDS / 3)
    assert [answer.failed for (answer,) in rows] == [False, True, False]


def test_a_run_that_is_stopped_asks_only_what_was_not_answered(tmp_path: Path) -> None:
    reply_file = tmp_path / "unfinished/one.jsonl"
    with serving(lambda prompt, _: "status 401" if number(prompt) >= 6 else "answer") as server:
        with pytest.raises(MeasureError, match="status 401"):
            ask(server.url, 10, reply_file=reply_file, concurrency=1)
        assert sorted(server.asked) == [f"word{row}" for row in range(7)]
    with reply_file.open("a") as stream:
        stream.write('{"key": "6#0", "text": "wo')  # the process was killed in the middle of a line
    with serving() as server:
        rows = ask(server.url, 10, reply_file=reply_file)
        assert sorted(server.asked) == [f"word{row}" for row in range(6, 10)]
    assert [answer.text for (answer,) in rows] == [f"word{row}" for row in range(10)]
    assert not any(answer.failed for (answer,) in rows)


def test_what_failed_is_asked_again_by_the_next_run(tmp_path: Path) -> None:
    reply_file = tmp_path / "one.jsonl"
    with serving(lambda prompt, _: "status 500" if prompt == "word1" else "answer") as server:
        assert [answer.failed for (answer,) in ask(server.url, 3, reply_file=reply_file)] == [
            False,
            True,
            False,
        ]
    with serving() as server:
        assert not any(answer.failed for (answer,) in ask(server.url, 3, reply_file=reply_file))
        assert dict(server.asked) == {"word1": 1}


def test_a_lost_server_ends_the_run_unless_it_comes_back(tmp_path: Path) -> None:
    reply_file = tmp_path / "one.jsonl"
    with serving() as server:
        port = server.server_address[1]
        ask(server.url, 4, reply_file=reply_file)
    with pytest.raises(MeasureError, match=r"connection failed .*start the server and run again"):
        ask(f"http://127.0.0.1:{port}/v1", 100, reply_file=reply_file)
    with serving(port=port) as server:
        rows = ask(server.url, 100, reply_file=reply_file)
        assert len(server.asked) == 96
    assert [answer.text for (answer,) in rows] == [f"word{row}" for row in range(100)]


def test_a_server_that_refuses_requests_is_not_lost() -> None:
    def plan(prompt: str, _came: int) -> str:
        return "answer" if prompt == "word39" else "drop" if number(prompt) % 2 else "status 400"

    with serving(plan) as server:
        rows = ask(server.url, 40, concurrency=1)
    assert [row for row, (answer,) in enumerate(rows) if not answer.failed] == [39]


def test_a_server_on_which_every_request_fails_is_an_error() -> None:
    with (
        serving(lambda *_: "status 400") as server,
        pytest.raises(MeasureError, match="all 3 requests failed: status 400"),
    ):
        ask(server.url, 3)


def test_a_run_that_is_killed_keeps_its_answers(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys; from pathlib import Path
        sys.path.insert(0, "tests")
        from tasks.parts.test_endpoint_prompts import ask
        ask(sys.argv[1], 40, reply_file=Path(sys.argv[2]), concurrency=1)
    """)
    reply_file = tmp_path / "one.jsonl"

    def slow(_prompt: str, _came: int) -> str:
        time.sleep(0.05)
        return "answer"

    with serving(slow) as server:
        command = [sys.executable, "-c", program, server.url, str(reply_file)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        until = time.monotonic() + 60
        while not reply_file.exists() or len(reply_file.read_text().split("\n")) < 8:
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = sum(bool(line) for line in reply_file.read_text().splitlines())
    with serving() as server:
        rows = ask(server.url, 40, reply_file=reply_file)
        assert 40 - before <= len(server.asked) <= 40 - before + 1
    assert [answer.text for (answer,) in rows] == [f"word{row}" for row in range(40)]


def test_the_key_is_sent_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_KEY", "secret-5309")
    monkeypatch.setenv("OPENAI_API_KEY", "other-5309")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "other-5309")
    with serving(lambda prompt, _: "status 400" if prompt == "word1" else "answer") as server:
        ask(server.url, 3, reply_file=tmp_path / "one.jsonl", key_env="MY_KEY")
        assert {headers["authorization"] for headers in server.headers} == {"Bearer secret-5309"}
    replies = (tmp_path / "one.jsonl").read_text()
    assert "refused, Bearer ***" in replies
    with serving(lambda *_: "status 401") as server:
        with pytest.raises(MeasureError) as raised:
            ask(server.url, 3, key_env="MY_KEY")
        messages = "".join([str(raised.value), replies, *capfd.readouterr()])
        with pytest.raises(MeasureError) as ask_without_key:
            ask(server.url, 3)
        assert "other-5309" not in json.dumps(server.headers)
    assert "5309" not in messages + str(ask_without_key.value)
    params = EndpointTable(url="http://localhost/v1", model="m", key_env="MY_KEY")
    assert "5309" not in repr(params) + params.model_dump_json()


BODIES = [
    (r'{"detail": "key sk-secret\/a\"b"}', '{"detail": "key ***"}'),
    (r'{"detail": "{\"key\": \"sk-secret\\/a\\\"b\"}"}', r'{"detail": "{\"key\": \"***\"}"}'),
    (r'{"detail": "\u0073k-secret/a\u0022b"}', '{"detail": "***"}'),
    (r"no JSON: sk-secret\/a\"b, sk-secret%2Fa%22b", "no JSON: ***, ***"),
    ('{"error": {"message": null, "code": 7}}', '{"error": {"message": null, "code": 7}}'),
]


@pytest.mark.parametrize(("body", "shown"), BODIES)
def test_an_error_is_shown_whole_without_the_key(
    monkeypatch: pytest.MonkeyPatch, body: str, shown: str
) -> None:
    monkeypatch.setenv("MY_KEY", 'sk-secret/a"b')
    with serving(lambda *_: f"body {body}") as server, pytest.raises(MeasureError) as raised:
        ask(server.url, 1, key_env="MY_KEY")
    assert str(raised.value).endswith(f"status 500: {shown}")


def test_a_redirect_that_loses_the_prompt_names_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-5309")
    where = "https://other/v1/completions?key=secret-5309"
    error = "301: the server redirects to https://other/v1; write that url"
    with (
        serving(lambda *_: f"status 301 Location: {where}") as server,
        pytest.raises(MeasureError, match=error) as raised,
    ):
        ask(server.url, 3, key_env="MY_KEY")
    assert "5309" not in str(raised.value)


def test_a_redirect_that_keeps_the_prompt_is_followed() -> None:
    with serving() as target, serving(lambda *_: f"status 308 Location: {target.url}/completions") as server:
        assert [answer.text for (answer,) in ask(server.url, 1)] == ["word0"]


def test_a_key_that_is_not_set_is_named() -> None:
    with pytest.raises(SuiteError, match="environment variable NO_SUCH_KEY is not set"):
        EndpointTable(url="http://localhost/v1", model="m", key_env="NO_SUCH_KEY").check_can_ask()


def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret\n5309")
    with pytest.raises(SuiteError, match="MY_KEY has a character that no request can send") as raised:
        EndpointTable(url="http://localhost/v1", model="m", key_env="MY_KEY").check_can_ask()
    assert "5309" not in str(raised.value)


def test_messages_go_to_chat_and_texts_to_completions() -> None:
    prompts = make_endpoint_prompts(["one", [{"role": "user", "content": "two"}]], ["a", "b"], chat=False)
    with serving() as server:
        predictor = EndpointPredictor(EndpointTable(url=server.url, model="m", concurrency=1))
        rows = ask_for_answers(
            predictor, prompts, SamplingParams(4, 0.7, 5, ("\n",)), AnswerPlan(1), repeats=2
        )
    assert [[answer.text for answer in row] for row in rows] == [["one", "one"], ["two", "two"]]
    requests = [(body["path"], body["seed"]) for body in server.bodies]
    assert requests == [(f"/v1/{kind}completions", seed) for kind in ("", "chat/") for seed in (5, 6)]
    common = {"max_tokens": 4, "temperature": 0.7, "stop": ["\n"], "model": "m"}
    assert all(body.items() >= common.items() for body in server.bodies)


def test_a_reply_is_cut_at_a_stop_text() -> None:
    sampling = SamplingParams(max_new_tokens=9, stop=("\n\n",))
    cut = convert_reply(Reply("a b a b\n\nmore", "length", 6), sampling)
    assert (cut.text, cut.ended, cut.tokens, cut.ids) == ("a b a b", True, 6, (0, 1, 0, 1))
    assert not convert_reply(Reply("a", "length"), sampling).ended
    assert convert_reply(Reply(failed="status 500"), sampling).failed


def start_faulty(port: int) -> subprocess.Popen[bytes]:
    program = Path(__file__).parents[2] / "support/started_server.py"
    process = subprocess.Popen([sys.executable, str(program), str(port), "faulty"], stdout=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not is_port_taken(port) and time.monotonic() < end:
        time.sleep(0.05)
    return process


@pytest.mark.slow
def test_1000_requests_survive_faults_and_a_killed_server(tmp_path: Path) -> None:
    reply_file, port = tmp_path / "kept.jsonl", find_free_port()
    servers = [start_faulty(port)]

    def kill_once() -> None:
        while not reply_file.exists() or len(reply_file.read_bytes().splitlines()) < 300:
            time.sleep(0.02)
        servers[0].kill()
        servers[0].wait()
        time.sleep(1.0)
        servers.append(start_faulty(port))

    killer = threading.Thread(target=kill_once)
    killer.start()
    try:
        rows = ask(
            f"http://127.0.0.1:{port}/v1",
            1000,
            reply_file=reply_file,
            concurrency=32,
            retries=5,
            timeout=HANG_SECONDS * 0.9,
        )
    finally:
        killer.join()
        for server in servers:
            server.kill()
            server.wait()
    answers = [answer for (answer,) in rows]
    kinds = Counter("failed" if answer.failed else "ended" if answer.ended else "cut" for answer in answers)
    assert kinds == {"ended": 980, "cut": 10, "failed": 10}
    assert [row for row, answer in enumerate(answers) if answer.failed] == list(range(3, 1000, 100))
    assert [row for row, answer in enumerate(answers) if not answer.ended] == list(range(2, 1000, 100))
    assert all(
        answer.text == f"word{row}"
        for row, answer in enumerate(answers)
        if answer.ended and not answer.failed
    )
    lines = [json.loads(line) for line in reply_file.read_text().splitlines() if line]
    assert Counter(line["key"] for line in lines) == {f"{row}#0": 1 for row in range(1000)}  # none twice
