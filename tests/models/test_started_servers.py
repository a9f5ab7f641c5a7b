"""Servers that slimgate starts: ready, shared, stopped with their children, and why one did not come."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.answer_server import serving
from support.processes import is_running, wait_for_end

from slimgate.errors import MeasureError
from slimgate.models.ask import Reply, Request
from slimgate.models.started_servers import Servers, ServerTable
from slimgate.runtimes.endpoint import EndpointPredictor, EndpointTable, StartedEndpoint

PROGRAM = str(Path(__file__).parents[1] / "support/started_server.py")
URL = "http://127.0.0.1:{port}/v1"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    pool = Servers(tmp_path / "logs")
    yield pool
    pool.stop()


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    return tmp_path / "pids"


def table(*mode: str, **options: object) -> ServerTable:
    return ServerTable(command=(sys.executable, PROGRAM, "{port}", *mode), **options)


def endpoint(servers: Servers, *mode: str, **options: object) -> StartedEndpoint:
    started = StartedEndpoint.from_tables(
        EndpointTable(url=URL, model="m", retries=0), table(*mode, **options)
    )
    return started.with_servers(servers, "served")


def test_a_server_is_started_when_it_is_asked_and_answers(servers: Servers, tmp_path: Path) -> None:
    replies: dict[int, Reply] = {}
    tasks: list[str] = []
    predictor = EndpointPredictor(endpoint(servers))
    assert not (tmp_path / "logs").exists()
    predictor.ask(
        [Request("say one", {}), Request("say two", {})],
        replies.__setitem__,
        lambda task, _done, _total: tasks.append(task),
    )
    assert [replies[place].text for place in (0, 1)] == ["one", "two"]
    assert set(tasks) == {"wait for the server"}
    assert "mode ''" in (tmp_path / "logs/served.log").read_text()


def test_a_command_is_started_once_and_stopped_with_its_children(servers: Servers, pids: Path) -> None:
    first = servers.start(table("child"), URL, "a", key="k")
    assert servers.start(table("child"), URL, "b", key="k") == first
    [server, child] = map(int, pids.read_text().split())
    assert is_running(server)
    assert is_running(child)
    servers.stop()
    assert not is_running(server)
    assert not is_running(child)


def test_a_fixed_port_that_is_taken_is_refused(servers: Servers) -> None:
    with serving() as other, pytest.raises(MeasureError, match=r"port \d+ of .* is taken by another program"):
        servers.start(table(), other.url, "a", key="k")


def test_a_crashed_server_shows_its_logs_end_without_the_key(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret-5309")
    with pytest.raises(MeasureError, match=r"ended with code 1; its log .*CUDA error: no kernel") as raised:
        servers.start(table("crash"), URL, "a", key="secret-5309")
    assert "key ***" in str(raised.value)
    assert "5309" not in str(raised.value)


def test_a_server_that_never_listens_is_given_up_and_ended(servers: Servers, pids: Path) -> None:
    with pytest.raises(MeasureError, match=r"/v1/models was not ready after 1.5 s .*its log .* ends: mode"):
        servers.start(table("mute", ready_timeout=1.5), URL, "a", key="k")
    assert wait_for_end([*map(int, pids.read_text().split())])


def test_a_server_that_dies_midway_is_named_and_started_again(servers: Servers) -> None:
    predictor = EndpointPredictor(endpoint(servers, "die"))
    requests = [Request(f"say {number}", {}) for number in range(200)]
    with pytest.raises(MeasureError, match=r"it ended with code 1; its log .*ran out of memory"):
        predictor.ask(requests, lambda _place, _reply: time.sleep(0.01))
    replies: list[Reply] = []
    predictor.ask(requests[:5], lambda _place, reply: replies.append(reply))
    assert len(replies) == 5


STARTS = """\
import sys, time
from pathlib import Path
from slimgate.models.started_servers import ServerTable, Servers
servers = Servers(Path(sys.argv[1]))
table = ServerTable(command=(sys.executable, sys.argv[2], "{port}", "child"))
servers.start(table, sys.argv[3], "a", key="k")
print("ready", flush=True)
if sys.argv[4:] == ["crash"]:
    raise SystemExit("crashed")
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["kill -9", "Ctrl-C", "crash"])
def test_no_server_outlives_the_process_that_started_it(how: str, tmp_path: Path, pids: Path) -> None:
    command = [
        sys.executable,
        "-c",
        STARTS,
        str(tmp_path),
        PROGRAM,
        URL,
        *(["crash"] if how == "crash" else []),
    ]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    if how != "crash":
        os.kill(process.pid, signal.SIGKILL if how == "kill -9" else signal.SIGINT)
    process.wait(30)
    process.stdout.close()
    assert wait_for_end([*map(int, pids.read_text().split())])


def test_an_endpoint_sent_to_another_process_starts_a_new_server(servers: Servers) -> None:
    first = endpoint(servers)
    at = first.locate().url
    sent = pickle.loads(pickle.dumps(first))
    other = sent.locate().url
    assert first.locate().url == at != other
    sent._servers.stop()
