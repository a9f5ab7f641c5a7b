"""A model behind an OpenAI-compatible server: slimgate does not load the model, but sends requests.

    [variants.served]
    endpoint = { url = "http://localhost:8000/v1", model = "name", key_env = "API_KEY" }

The artifact of an endpoint is one file that names the server and the model. It has no weights, so no step
changes it, and nothing about its size or its calls is measured.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator, model_validator

from slimgate._system.files import write_atomically
from slimgate.errors import MeasureError, MissingExtra, SuiteError
from slimgate.models.started_servers import Servers, ServerTable
from slimgate.plugins.base import Arrays, Progress, no_progress
from slimgate.plugins.params import Table
from slimgate.plugins.runtime import Runtime

if TYPE_CHECKING:
    from slimgate.models.ask import Reply, Request

KIND = "endpoint"
FILE = "endpoint.json"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EndpointTable(Table):
    """`endpoint` of [teacher] and of a variant.

    Options that are excluded from the dump affect how requests are sent, not what the server answers. They
    are in no key of the store and in no record.
    """

    url: str
    """The URL of the API, such as http://localhost:8000/v1."""
    model: str
    """The name of the model on the server."""
    key_env: str | None = Field(default=None, exclude=True)
    """The environment variable that holds the API key."""
    concurrency: int = Field(default=8, ge=1, le=1024, exclude=True)
    """Largest number of requests at the same time."""
    timeout: float = Field(default=120.0, gt=0, exclude=True)
    """Largest time in seconds without data from the server during a request."""
    retries: int = Field(default=6, ge=0, le=100, exclude=True)
    """Largest number of times that a request is sent again after status 429 or 5xx, a lost connection or a
    timeout; each pause is longer than the pause before."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query or parts.fragment:
            # the URL is in records, so the error does not repeat the value
            raise ValueError("a URL without user, password, ? and # is expected; name the key by key_env")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f'"{url}" was given, expected a URL such as http://localhost:8000/v1')
        return url.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _check_key_env(cls, name: str | None) -> str | None:
        # it may be the key, so the error does not repeat it
        if name is not None and not _VARIABLE.fullmatch(name):
            raise ValueError(
                "expected the name of an environment variable that holds the key, such as API_KEY"
            )
        return name

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if not self.model.strip():
            raise ValueError('model = "" was given, expected the name of the model on the server')
        return self

    @property
    def shown(self) -> str:
        """The model and its server, for messages and records."""
        return f"{self.model} at {self.url}"

    def check_can_ask(self) -> None:
        """Raises MissingExtra without the package httpx2, and SuiteError without the key."""
        if find_spec("httpx2") is None:
            raise MissingExtra('endpoints need an extra: pip install "slimgate[endpoint]"')
        self.read_key()

    def read_key(self) -> str:
        """The key, or a text that says that there is none. Raises SuiteError if the variable has no key."""
        if self.key_env is None:
            return "no-key"
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise SuiteError(
                f"environment variable {self.key_env} is not set, expected the key of {self.url}"
            )
        if not (key.isascii() and key.isprintable()):  # the error does not repeat the value
            raise SuiteError(
                f"environment variable {self.key_env} has a character that no request can send, expected the "
                f"key of {self.url} in printable ASCII"
            )
        return key

    def locate(self, progress: Progress = no_progress) -> EndpointTable:
        """The endpoint with the URL to use now."""
        return self

    def explain_end(self) -> str | None:
        """Why the server ended, if slimgate started it and it does not run any more; else None."""
        return None


class StartedEndpoint(EndpointTable):
    """An endpoint whose server slimgate starts. {port} in its URL is a free port."""

    server: ServerTable
    _servers: Servers = PrivateAttr(default_factory=Servers)
    _name: str = PrivateAttr(default="server")

    @classmethod
    def from_tables(cls, endpoint: EndpointTable, server: ServerTable) -> StartedEndpoint:
        """An endpoint made of both tables of a model."""
        return cls(**dict(endpoint), server=server)

    def with_servers(self, servers: Servers, name: str) -> StartedEndpoint:
        """A copy of the endpoint whose server is among those of a run. name: of the file of its log."""
        endpoint = self.model_copy()
        endpoint._servers, endpoint._name = servers, name
        return endpoint

    def check_can_ask(self) -> None:
        """Raises SuiteError also if the server's program is missing."""
        super().check_can_ask()
        self.server.check_program()

    def locate(self, progress: Progress = no_progress) -> EndpointTable:
        """The endpoint at the port of its server, which is started if needed."""
        key = self.read_key()
        url = self._servers.start(self.server, self.url, self._name, key=key, progress=progress)
        options = {name: getattr(self, name) for name in EndpointTable.model_fields}
        return EndpointTable(**options | {"url": url})

    def explain_end(self) -> str | None:
        """The end of the server's log, if the server does not run any more; else None."""
        return self._servers.explain_end(self.server, self.url, key=self.read_key())


@dataclass(frozen=True)
class EndpointModel:
    """The artifact of an endpoint. served: the digests of the files that the server's command names."""

    params: EndpointTable
    served: dict[str, Any] = field(default_factory=dict)
    kind: str = KIND

    def save(self, folder: Path) -> None:
        """Writes the file that has the server, the model, and `served`."""
        facts = {**self.params.model_dump(mode="json"), "served": self.served}
        write_atomically(folder / FILE, json.dumps(facts, indent=1))

    def measure_size(self) -> dict[str, None]:
        """Only None: nothing is known about its size."""
        return dict.fromkeys(("bytes", "parameters", "nonzero_parameters", "state_bytes"))

    def code_modules(self) -> tuple[str, ...]:
        """The modules that send requests to the server."""
        return ("slimgate.models.ask",)


class EndpointPredictor:
    """Sends requests to a server. It has no forward calls, so the calls of a Predictor raise MeasureError.

    server_settings: the settings that the server stated after the last requests, by area.
    """

    def __init__(self, params: EndpointTable) -> None:
        self._params = params
        self.server_settings: Mapping[str, Mapping[str, Any]] = {}

    def ask(
        self,
        requests: Sequence[Request],
        on_reply: Callable[[int, Reply], None],
        progress: Progress = no_progress,
    ) -> None:
        """Sends requests. Afterwards `server_settings` has the settings that the server states.

        Args:
            requests: The requests to send.
            on_reply: Called with the position of a request and its reply when the reply arrives.
            progress: Called while a server starts.

        Raises:
            MeasureError: If the server cannot be reached, or refuses every request.
        """
        from slimgate.models.ask import ask
        from slimgate.models.server_settings import read_server_settings

        if not requests:
            return
        try:
            endpoint = self._params.locate(progress)
            ask(endpoint, requests, on_reply)
            self.server_settings = read_server_settings(endpoint)
        except MeasureError as error:
            if (ended := self._params.explain_end()) is None:
                raise
            raise MeasureError(f"{error}; {ended}") from error

    def prepare(self, batch: Arrays) -> NoReturn:
        """Raises MeasureError: an endpoint has no forward calls."""
        raise MeasureError(f"{self._params.shown} is an endpoint, which has no forward call")

    def forward(self, prepared: object) -> NoReturn:
        """Raises MeasureError: an endpoint has no forward calls."""
        self.prepare({})

    def fetch(self, output: object) -> NoReturn:
        """Raises MeasureError: an endpoint has no forward calls."""
        self.prepare({})

    def close(self) -> None:
        """Does nothing, because nothing is open."""


class EndpointRuntime(Runtime[EndpointTable]):
    kinds = frozenset({KIND})
    default_for = kinds
    any_processor = kinds
    packages = ("httpx2",)

    def load(self, folder: Path, params: EndpointTable, *, device: str, threads: int) -> EndpointPredictor:
        """A predictor, which contacts the server when it sends the first requests."""
        params.check_can_ask()
        return EndpointPredictor(params)


runtime = EndpointRuntime()


def read_served_files(folder: Path) -> dict[str, Any]:
    """The `served` of an endpoint's artifact; empty for other artifacts."""
    file = folder / FILE
    return dict(json.loads(file.read_text("utf-8"))["served"]) if file.is_file() else {}


def is_endpoint(folder: Path) -> bool:
    """Whether an artifact's folder is an endpoint's."""
    return (folder / FILE).is_file()
