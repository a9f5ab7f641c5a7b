"""The settings that a server states: its context, sampling defaults, chat template and version.

vLLM and llama-server answer `/v1/models`. llama-server also answers `/props`, and vLLM `/version`. Other
servers state less, and a provider may state nothing.

Sources: https://docs.vllm.ai/en/stable/serving/openai_compatible_server/ and
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import isfinite
from typing import Any
from urllib.parse import urlsplit

from slimgate.models.ask import Endpoint
from slimgate.plugins.environments import join_environments, make_environment

Settings = dict[str, dict[str, Any]]
_SECONDS = 5.0  # for one request
_LARGEST_ANSWER = 2**20  # bytes; a chat template has some kilobytes
_LONGEST_TEXT = 200
_SAMPLING = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty"),
    *("frequency_penalty", "seed"),
)


def read_server_settings(endpoint: Endpoint) -> Settings:
    """Asks a server for its settings.

    Args:
        endpoint: has the URL of the API, and the name of the model.

    Returns:
        The names and values of the settings that the server states, by area of
        `slimgate/plugins/environments.py`. Empty if it states none, or does not answer within five seconds.
    """
    import httpx2

    parts, key = urlsplit(endpoint.url), endpoint.read_key()
    origin = f"{parts.scheme}://{parts.netloc}"
    # A redirect could send the key to another server.
    with httpx2.Client(
        headers={"Authorization": f"Bearer {key}"}, timeout=_SECONDS, follow_redirects=False
    ) as client:
        models = _read_model(_get(client, f"{endpoint.url}/models", key), endpoint.model)
        props = _read_props(_get(client, f"{origin}/props", key))
        version = make_environment(engine=_keep_plain(_get(client, f"{origin}/version", key), ("version",)))
    return join_environments(models, props, version)


def _get(client: Any, url: str, key: str) -> Mapping[str, Any]:
    """The JSON object at a URL, without the key; empty if there is none."""
    import httpx2

    try:
        reply = client.get(url)
        is_usable = reply.status_code == 200 and len(reply.content) <= _LARGEST_ANSWER
        value = json.loads(reply.text.replace(key, "***")) if is_usable else None
    # settings that a server does not state are not compared
    except (httpx2.HTTPError, ValueError, RecursionError):
        value = None
    return _table(value)


def _read_model(answer: Mapping[str, Any], name: str) -> Settings:
    """The settings in an answer of `/v1/models`."""
    entries = answer.get("data")
    cards = [_table(entry) for entry in entries] if isinstance(entries, list) else []
    card = next((card for card in cards if card.get("id") == name), cards[0] if len(cards) == 1 else {})
    meta = _table(card.get("meta"))
    engine = {"server": card.get("owned_by"), "context tokens": card.get("max_model_len")}
    model = {
        "files": _shorten_path(card.get("root")),
        "parameters": meta.get("n_params"),
        "bytes": meta.get("size"),
        "trained context tokens": meta.get("n_ctx_train"),
    }
    return make_environment(engine=_keep_plain(engine), model=_keep_plain(model))


def _read_props(answer: Mapping[str, Any]) -> Settings:
    """The settings in an answer of llama-server's `/props`."""
    defaults, template = _table(answer.get("default_generation_settings")), answer.get("chat_template")
    sampling = _table(defaults.get("params")) or defaults  # older versions have no `params`
    engine = {
        "context tokens": defaults.get("n_ctx"),
        "slots": answer.get("total_slots"),
        "version": answer.get("build_info"),
    }
    digest = sha256(template.encode()).hexdigest()[:12] if isinstance(template, str) else None
    return make_environment(
        engine=_keep_plain(engine),
        model=_keep_plain({"files": _shorten_path(answer.get("model_path"))}),
        prompt={"chat template": digest},
        sampling=_keep_plain(sampling, _SAMPLING),
    )


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shorten_path(path: object) -> str | None:
    """The last two names of a path. The folders above exist only on the server's machine."""
    return "/".join(path.replace("\\", "/").split("/")[-2:]) if isinstance(path, str) else None


def _keep_plain(settings: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
    """The settings that are texts or finite numbers, without empty texts. names: only these."""
    chosen = settings if names is None else {name: settings.get(name) for name in names}
    return {
        name: value[:_LONGEST_TEXT] if isinstance(value, str) else value
        for name, value in chosen.items()
        if (isinstance(value, str) and value) or (isinstance(value, int | float) and isfinite(value))
    }
