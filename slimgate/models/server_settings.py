"""The settings that a server states: its context, sampling defaults, chat template and version.

vLLM and llama-server answer `/v1/models`. llama-server also answers `/props`, and vLLM `/version`. Other
servers state less, and a provider may state nothing.

Sources: https://docs.vllm.ai/en/stable/serving/openai_compatible_server/ and
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import isfinite
from typing import Any

from slimgate.models.ask import Endpoint
from slimgate.plugins.environments import join_environments, make_environment

Settings = dict[str, dict[str, Any]]
_SECONDS = 5.0  # for all requests
_LARGEST_ANSWER = 2**20  # bytes; a chat template has some kilobytes
_LONGEST_TEXT = 200
_LARGEST_NUMBER = 2**63
_SAMPLING = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty"),
    *("frequency_penalty", "seed"),
)


def read_server_settings(endpoint: Endpoint) -> Settings:
    """Asks a server for its settings.

    Args:
        endpoint: where its API begins, and the name of the model.

    Returns:
        The names and values of the settings that the server states, by area (see
        `slimgate/plugins/environments.py`). Empty if it states none. An answer is ignored if it is larger
        than a megabyte, or comes after five seconds.
    """
    import httpx2

    key, deadline = endpoint.read_key(), time.monotonic() + _SECONDS
    # A redirect could send the key to another server.
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}
    # Reading all certificates takes longer than the requests, and plain HTTP has none to verify.
    verify = endpoint.url.startswith("https")
    with httpx2.Client(headers=headers, timeout=_SECONDS, follow_redirects=False, verify=verify) as client:
        models = _get(client, f"{endpoint.url}/models", deadline)
        parent = endpoint.url.removesuffix("/v1")
        is_known = parent != endpoint.url  # else the place of the other pages is unknown
        props = _get(client, f"{parent}/props", deadline) if is_known else {}
        version = _get(client, f"{parent}/version", deadline) if is_known else {}
    settings = join_environments(
        _read_model(models, endpoint.model),
        _read_props(props),
        make_environment(engine=_keep_plain(version, ("version",))),
    )
    return {
        area: {
            name: value.replace(key, "***")[:_LONGEST_TEXT] if isinstance(value, str) else value
            for name, value in stated.items()
        }
        for area, stated in settings.items()
    }


def _get(client: Any, url: str, deadline: float) -> Mapping[str, Any]:
    """The JSON object at a URL; empty if there is none. deadline: by time.monotonic()."""
    import httpx2

    content = bytearray()
    try:
        with client.stream("GET", url) as reply:
            if reply.status_code != 200:
                return {}
            for part in reply.iter_raw():  # not unpacked: a small answer may unpack to gigabytes
                content += part
                if len(content) > _LARGEST_ANSWER or time.monotonic() > deadline:
                    return {}
        return _keep_table(json.loads(content))
    except (httpx2.HTTPError, ValueError, RecursionError):  # what a server does not state is not compared
        return {}


def _read_model(answer: Mapping[str, Any], name: str) -> Settings:
    """The settings in an answer of `/v1/models`."""
    entries = answer.get("data")
    cards = [_keep_table(entry) for entry in entries] if isinstance(entries, list) else []
    card = next((card for card in cards if card.get("id") == name), cards[0] if len(cards) == 1 else {})
    meta = _keep_table(card.get("meta"))
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
    defaults, template = _keep_table(answer.get("default_generation_settings")), answer.get("chat_template")
    sampling = _keep_table(defaults.get("params")) or defaults  # older versions have no `params`
    engine = {
        "context tokens": defaults.get("n_ctx"),
        "slots": answer.get("total_slots"),
        "version": answer.get("build_info"),
    }
    digest = None
    if isinstance(template, str):
        digest = sha256(template.encode(errors="replace")).hexdigest()[:12]
    return make_environment(
        engine=_keep_plain(engine),
        model=_keep_plain({"files": _shorten_path(answer.get("model_path"))}),
        prompt={"chat template": digest},
        sampling=_keep_plain(sampling, _SAMPLING),
    )


def _keep_table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shorten_path(path: object) -> str | None:
    """The last two names of a path. The folders above exist only on the server's machine."""
    return "/".join(path.replace("\\", "/").split("/")[-2:]) if isinstance(path, str) else None


def _keep_plain(settings: Mapping[str, Any], names: Sequence[str] | None = None) -> dict[str, Any]:
    """The settings that are texts or numbers which a record can hold, without empty texts.

    names: only these settings. Numbers are rounded to six digits: a server may print a float32.
    """
    chosen = settings if names is None else {name: settings.get(name) for name in names}
    return {
        name: plain for name, value in chosen.items() if (plain := _make_plain_setting(value)) is not None
    }


def _make_plain_setting(value: object) -> str | float | None:
    if isinstance(value, str):
        return value.encode(errors="ignore").decode() or None  # without halves of surrogate pairs
    if isinstance(value, int):
        return value if abs(value) < _LARGEST_NUMBER else None
    return float(f"{value:.6g}") if isinstance(value, float) and isfinite(value) else None
