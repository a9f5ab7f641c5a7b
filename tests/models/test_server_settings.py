"""What servers state of themselves is read from the answers that vLLM and llama-server give."""

from __future__ import annotations

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


def test_the_key_is_sent_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret-5309")
    with serving() as server:
        server.pages = {"/version": {"version": "for secret-5309"}}
        settings = read_server_settings(EndpointTable(url=server.url, model="tiny", key_env="MY_KEY"))
    assert settings == {"engine": {"version": "for ***"}}


def test_a_server_that_is_gone_states_nothing() -> None:
    with serving() as server:
        url = server.url
    assert read_server_settings(EndpointTable(url=url, model="tiny")) == {}
