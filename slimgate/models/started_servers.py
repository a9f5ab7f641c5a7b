"""The servers that slimgate starts for the endpoints of a suite: each once, at its first use.

    server = { command = ["vllm", "serve", "model", "--port", "{port}"] }

The settings that a running server states are read by server_settings.py.
"""

from __future__ import annotations

import atexit
import shutil
import signal
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from slimgate._system.child_server import ChildServer, find_free_port, is_port_taken
from slimgate._system.threads import default_spinning
from slimgate.errors import MeasureError, SuiteError, to_one_line
from slimgate.plugins.base import Progress, no_progress
from slimgate.plugins.params import Table

PORT = "{port}"
PORT_VARIABLE = "PORT"
LOCAL = ("localhost", "127.0.0.1", "[::1]")
_KEY_OPTIONS = ("--api-key", "--api_key")
_PROBE_INTERVAL, _PROBE_TIMEOUT = 0.2, 5.0  # seconds


class ServerTable(Table):
    """The table `server`: how slimgate starts the server of an endpoint.

    The command decides what the server answers, so it is in keys of the store and in records.
    The other fields are not.
    """

    command: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments. {port} is the port of url; the environment variable PORT has the same
    value."""
    ready: str = Field(default="/v1/models", exclude=True)
    """Path on the server; a status below 400 from this path shows that the model is loaded."""
    ready_timeout: float = Field(default=600.0, gt=0, exclude=True)
    """Largest time in seconds from the start of the server until the path `ready` answers."""
    stop: Literal["SIGTERM", "SIGINT", "SIGQUIT", "SIGKILL"] = Field(default="SIGTERM", exclude=True)
    """The signal that ends the server; after 15 seconds the server is killed."""

    @field_validator("command")
    @classmethod
    def _check_command(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0].strip():
            raise ValueError('expected a program and its arguments, such as ["vllm", "serve", "model"]')
        for word in command:
            option = word.partition("=")[0]
            if option in _KEY_OPTIONS:  # the command is in records, so the error does not repeat the value
                raise ValueError(
                    f"{option} was given, but a key may not be in a suite; name its variable by key_env, and "
                    "the server reads it from its environment, such as VLLM_API_KEY"
                )
        return command

    @field_validator("ready")
    @classmethod
    def _check_ready(cls, ready: str) -> str:
        if not ready.startswith("/"):
            raise ValueError(
                f'"{ready}" was given, expected a path on the server, such as /v1/models or /health'
            )
        return ready

    def check_url(self, url: str) -> None:
        """Raises ValueError if the server that is started here cannot be the one at that URL."""
        host, _, port = urlsplit(url).netloc.rpartition(":")
        if host not in LOCAL:
            raise ValueError(
                f'slimgate starts the server on this machine, and url = "{url}" names another host; expected '
                'url = "http://localhost:{port}/v1", where slimgate fills in {port}, or a fixed port'
            )
        if port != PORT and any(PORT in word for word in self.command):
            raise ValueError(f'{PORT} is in command and not in url = "{url}"; expected it in both')

    def check_program(self) -> None:
        """Raises SuiteError if the program is not installed."""
        if shutil.which(self.command[0]) is None:
            raise SuiteError(
                f'server: program "{self.command[0]}" was not found; install it, or give its whole path'
            )


class Servers:
    """The servers of a suite's run. folder: for their logs; None for a temporary folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._running: dict[tuple[tuple[str, ...], str], tuple[ChildServer, str]] = {}

    def __reduce__(self) -> tuple[type[Servers], tuple[Path | None]]:
        """Pickles only the folder: another process starts its own servers."""
        return Servers, (self._folder,)

    def start(
        self, table: ServerTable, url: str, name: str, *, key: str, progress: Progress = no_progress
    ) -> str:
        """The URL at which the server answers. It is started if it does not run, and waited for.

        name: of the log's file. key: sent with the request whether it is ready. Raises MeasureError with the
        end of its log if it ends before, or is not ready in time.
        """
        place = (table.command, url)
        running = self._running.get(place)
        if running is not None and running[0].code is None:
            return running[1]
        port = _choose_port(url)
        url_with_port = url.replace(PORT, str(port))
        with default_spinning():
            server = ChildServer(
                [word.replace(PORT, str(port)) for word in table.command],
                log=self._find_log(name),
                stop=signal.Signals[table.stop],
                environment={PORT_VARIABLE: str(port)},
            )
        if not self._running:
            atexit.register(self.stop)
        self._running[place] = server, url_with_port
        try:
            _wait_until_ready(server, table, url_with_port, key, progress)
        except BaseException:  # also after Ctrl-C
            self._running.pop(place)
            server.stop()
            raise
        return url_with_port

    def explain_end(self, table: ServerTable, url: str, *, key: str) -> str | None:
        """Why the server does not run any more, for a message; None if it runs, or was never started."""
        running = self._running.get((table.command, url))
        if running is None or running[0].code is None:
            return None
        return _describe_server_end(running[0], key)

    def stop(self) -> None:
        """Ends all servers. They start again at their next use."""
        while self._running:
            _, (server, _) = self._running.popitem()
            server.stop()
        atexit.unregister(self.stop)

    def _find_log(self, name: str) -> Path:
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="slimgate-servers-"))
        return self._folder / f"{name}.log"


def _choose_port(url: str) -> int:
    """The port for the server. Raises MeasureError if another process listens on it."""
    if PORT in url:
        return find_free_port()
    port = urlsplit(url).port or (443 if url.startswith("https") else 80)
    if is_port_taken(port):
        raise MeasureError(
            f"server: port {port} of {url} is taken by another program; stop it, or write "
            f'url = "http://localhost:{PORT}/v1" for a free port'
        )
    return port


def _wait_until_ready(
    server: ChildServer, table: ServerTable, url: str, key: str, progress: Progress
) -> None:
    """Raises MeasureError if the server ends before it is ready, or at the time limit."""
    parts = urlsplit(url)
    probe = f"{parts.scheme}://{parts.netloc}{table.ready}"
    started, last_refusal = time.monotonic(), "nothing"
    while True:
        if server.code is not None:
            raise MeasureError(f"{_describe_server_end(server, key)}; it ended before {probe} answered")
        passed = time.monotonic() - started
        if passed > table.ready_timeout:
            raise MeasureError(
                f"server: {probe} was not ready after {table.ready_timeout:g} s (last: {last_refusal}); its "
                f"log {_format_log_end(server, key)}; if it does not listen on this port, write {PORT} in "
                f"command or have it read {PORT_VARIABLE}"
            )
        progress("wait for the server", int(passed), int(table.ready_timeout))
        if (refusal := _ask_if_ready(probe, key)) is None:
            return
        last_refusal = refusal
        time.sleep(_PROBE_INTERVAL)


def _ask_if_ready(url: str, key: str) -> str | None:
    """None if the server is ready, else its answer."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import ProxyHandler, Request, build_opener

    try:
        opener = build_opener(ProxyHandler({}))  # without a proxy, because the server is on this machine
        request = Request(url, headers={"Authorization": f"Bearer {key}"})
        with opener.open(request, timeout=_PROBE_TIMEOUT):
            return None
    except HTTPError as error:
        return f"status {error.code}"
    except (OSError, HTTPException) as error:
        return to_one_line(error)


def _describe_server_end(server: ChildServer, key: str) -> str:
    return f"server: it ended with code {server.code}; its log {_format_log_end(server, key)}"


def _format_log_end(server: ChildServer, key: str) -> str:
    """The log file's path and its last lines, without the key."""
    lines = " | ".join(" ".join(line.split()) for line in server.read_last_lines()) or "nothing"
    return f"{server.log} ends: {lines.replace(key, '***')[-1500:]}"
