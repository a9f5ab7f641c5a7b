"""What servers state of themselves is read from the answers that vLLM and llama-server give."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.answer_server import AnswerServer, serving

from slimgate.models.server_settings import read_server_settings
from slimgate.runtimes.endpoint import EndpointTable

pytest.importorskip("httpx2")

# Shapes as vLLM 0.32 and llama-server b8681 answer.
VLLM_MODELS = {
    "object": "list",
    "data": [
        {
            "id": "tiny",
            "object": "model",
            "owned_by": "vllm",
            "root": "/srv/models/tiny-awq",
            "parent": None,
            "max_model_len": 2048,
            "permission": [],
        }
    ],
}
LLAMA_MODELS = {
    "models": [{"name": "tiny"}],
    "object": "list",
    "data": [
        {
            "id": "tiny",
            "owned_by": "llamacpp",
            "meta": {
                "vocab_type": 2,
                "n_vocab": 600,
                "n_ctx_train": 512,
                "n_params": 5_800_000,
                "size": 6_300_000,
            },
        }
    ],
}
LLAMA_PROPS = {
    "default_generation_settings": {
        "n_ctx": 1024,
        "params": {
            "seed": 7,
            "temperature": 0.8,
            "top_k": 40,
            "top_p": 0.95,
            "min_p": 0.05,
            "samplers": ["top_k"],
        },
    },
    "total_slots": 4,
    "model_path": "C:\\models\\tiny\\tiny-Q4_K_M.gguf",
    "chat_template": "{{ messages }}",
    "build_info": "b8681-Debian",
}


def settings_of(server: AnswerServer, model: str = "tiny") -> dict[str, dict[str, Any]]:
    return read_server_settings(EndpointTable(url=server.url, model=model))


def test_vllm_states_context_files_and_version() -> None:
    with serving() as server:
        server.pages = {"/v1/models": VLLM_MODELS, "/version": {"version": "0.32.0"}}
        assert settings_of(server) == {
            "engine": {"server": "vllm", "context tokens": 2048, "version": "0.32.0"},
            "model": {"files": "models/tiny-awq"},
        }


def test_llama_server_states_sampling_and_chat_template() -> None:
    with serving() as server:
        server.pages = {"/v1/models": LLAMA_MODELS, "/props": LLAMA_PROPS}
        settings = settings_of(server)
        server.pages = {"/props": {**LLAMA_PROPS, "chat_template": "{{ messages[0] }}"}}
        other = settings_of(server)
    assert settings["engine"] == {
        "server": "llamacpp",
        "context tokens": 1024,
        "slots": 4,
        "version": "b8681-Debian",
    }
    assert settings["model"] == {
        "parameters": 5_800_000,
        "bytes": 6_300_000,
        "trained context tokens": 512,
        "files": "tiny/tiny-Q4_K_M.gguf",
    }
    assert settings["sampling"] == {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "seed": 7}
    assert settings["prompt"]["chat template"] != other["prompt"]["chat template"]


def test_older_llama_server_has_sampling_beside_the_context() -> None:
    with serving() as server:
        server.pages = {"/props": {"default_generation_settings": {"n_ctx": 512, "temperature": 0.2}}}
        assert settings_of(server) == {"engine": {"context tokens": 512}, "sampling": {"temperature": 0.2}}


def test_the_settings_are_those_of_the_model_asked() -> None:
    cards = [{"id": name, "max_model_len": size} for name, size in (("big", 4096), ("tiny", 1024))]
    with serving() as server:
        server.pages = {"/v1/models": {"data": cards}}
        assert settings_of(server)["engine"] == {"context tokens": 1024}
        assert settings_of(server, "renamed") == {}


@pytest.mark.parametrize(
    "page",
    [
        b"<html>",
        b"[]",
        b'{"data": 3}',
        b'{"data": [3]}',
        b"[" * 100_000,
        b'{"data": [{"max_model_len": NaN}]}',
        b" " * 2**21,
    ],
    ids=["html", "a list", "no list", "no model", "deep", "no number", "long"],
)
def test_an_answer_of_another_form_states_nothing(page: bytes) -> None:
    with serving() as server:
        server.pages = dict.fromkeys(("/v1/models", "/props", "/version"), page)
        assert settings_of(server) == {}


@pytest.mark.parametrize(
    ("key", "page", "engine"),
    [
        ("secret-5309", b'{"version": "for secret-5309"}', {"version": "for ***"}),
        ("sk/abcdefgh", rb'{"version": "sk\/abcdefgh"}', {"version": "***"}),
        ("sk/abcdefgh", rb'{"version": "sk/\u0061bcdefgh"}', {"version": "***"}),
        ("4", b'{"data": [{"id": "tiny", "max_model_len": 4096}]}', {"context tokens": 4096}),
    ],
    ids=["plain", "escaped slash", "escaped letter", "a key of one digit"],
)
def test_the_key_is_sent_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, key: str, page: bytes, engine: dict[str, Any]
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with serving() as server:
        server.pages = {"/v1/models" if b"data" in page else "/version": page}
        settings = read_server_settings(EndpointTable(url=server.url, model="tiny", key_env="MY_KEY"))
    assert settings == {"engine": engine}


def test_what_no_record_can_hold_is_left_out() -> None:
    """Half of a surrogate pair, and a number of 400 digits: the run ended with an internal error."""
    with serving() as server:
        server.pages = {
            "/props": b'{"build_info": "\\ud800x", "total_slots": 1'
            + b"0" * 400
            + b', "chat_template": "\\ud800"}'
        }
        settings = settings_of(server)
    assert settings["engine"] == {"version": "x"}
    assert len(settings["prompt"]["chat template"]) == 12


def test_numbers_are_those_that_a_float32_prints_as() -> None:
    with serving() as server:
        server.pages = {"/props": {"default_generation_settings": {"temperature": 0.800000011920929}}}
        assert settings_of(server)["sampling"] == {"temperature": 0.8}


@pytest.mark.parametrize(
    ("path", "pages"),
    [
        ("/v1", ["/v1/models", "/props", "/version"]),
        ("/team/v1", ["/team/v1/models", "/team/props", "/team/version"]),
        ("/api", ["/api/models"]),
    ],
)
def test_only_pages_of_this_server_are_asked(path: str, pages: list[str]) -> None:
    """The root of the host may be another service, which must not get the key."""
    with serving() as server:
        server.pages = {place: {"data": []} for place in pages}
        read_server_settings(EndpointTable(url=server.url.removesuffix("/v1") + path, model="tiny"))
        assert server.fetched == pages


def test_a_server_that_drips_states_nothing_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimgate.models.server_settings._SECONDS", 0.5)
    with serving() as server:
        server.pages = dict.fromkeys(("/v1/models", "/props", "/version"), b" " * 100)
        server.pause = 0.1
        start = time.monotonic()
        assert settings_of(server) == {}
    assert time.monotonic() - start < 4


def test_a_server_that_is_gone_states_nothing() -> None:
    with serving() as server:
        url = server.url
    assert read_server_settings(EndpointTable(url=url, model="tiny")) == {}
