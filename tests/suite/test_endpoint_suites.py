"""Suites with servers: what is read, and what is refused before anything starts, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.run.gate_results import expected_checks
from slimgate.suite.checks import check_can_ask
from slimgate.suite.load import load_suite
from slimgate.suite.suite import TEACHER, Suite, params_json

SERVER = 'endpoint = { url = "http://localhost:8000/v1/", model = "m", key_env = "MY_KEY", timeout = 5 }'
SUITE = f"""
[suite]
title = "t"
[task]
kind = "text_generation"
source = {{ name = "files", path = "rows.csv" }}
prompt = "text"
reference = "label"
[teacher]
model = "../model"
[variants.served]
{SERVER}
[variants.int8]
steps = [{{ int8_dynamic = {{}} }}]
"""
Read = Callable[..., Suite]


@pytest.fixture
def read(bench: Path) -> Callable[..., Suite]:
    def read(*pairs: tuple[str, str], more: str = "") -> Suite:
        text = SUITE
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (bench / "x.toml").write_text(text + more)
        config = '{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 4}'
        (bench / "../model/config.json").write_text(config)
        return load_suite(bench / "x.toml", "x.toml")

    return read


def test_an_endpoint_is_a_model_without_files_and_times(read: Read) -> None:
    suite = read()
    served = suite.variants["served"]
    assert suite.endpoints == ("served",)
    assert suite.timed == (TEACHER, "int8")
    assert suite.sized == ("int8",)
    assert suite.metrics[-1] == "failed"
    assert served.ref is not None
    assert served.ref.text == "m at http://localhost:8000/v1"
    # how it is asked is in no key and no record
    assert params_json(served.runtime.params) == {"url": "http://localhost:8000/v1", "model": "m"}
    checks = {(kind, name) for kind, name, _ in expected_checks(suite)}
    assert {("footprint", "int8"), ("quality", "served"), ("behaviour", "served")} <= checks
    assert not {("footprint", "served"), ("latency", "served"), ("speedup", "served")} & checks


def test_suites_without_endpoints_do_not_measure_failures(read: Read) -> None:
    suite = read((f"[variants.served]\n{SERVER}\n", ""))
    assert "failed" not in suite.metrics


def test_a_key_that_is_missing_is_told_before_a_model_is_built(
    read,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(
        SuiteError, match=r"^x.toml \[variants.served\] endpoint: environment variable MY_KEY"
    ):
        check_can_ask(read(), ["served"])
    monkeypatch.setenv("MY_KEY", "k")
    check_can_ask(read(), ["served"])


REFUSED = [
    ("a password", [("localhost", "me:pass@localhost")], "", "a URL without user, password"),
    ("no URL", [("http://localhost:8000/v1/", "localhost")], "", '"localhost" came, expected a URL such as'),
    ("a key", [('"MY_KEY"', '"sk-5309"')], "", "expected the name of an environment variable"),
    ("a near key", [("timeout", "time_out")], "", "unknown key time_out. Did you mean timeout?"),
    ("steps", [(SERVER, f"{SERVER}\nsteps = [{{ int8_dynamic = {{}} }}]")], "", "leave steps out"),
    ("from", [(SERVER, f'{SERVER}\nfrom = "int8"')], "", "endpoint and from came"),
    ("a runtime", [(SERVER, f'{SERVER}\nruntime = {{ name = "eager" }}')], "", "endpoint and runtime came"),
    ("two models", [('model = "../model"', f'model = "../model"\n{SERVER}')], "", "endpoint and model came"),
    ("no model", [('model = "../model"', "")], "", r"\[teacher\]: needs model = … .*or endpoint = …"),
    (
        "a child",
        [("steps = [", 'from = "served"\nsteps = [')],
        "",
        "starts from served, which is an endpoint",
    ),
    ("of a teacher", [('model = "../model"', SERVER)], "", "starts from teacher, which is an endpoint"),
    (
        "size",
        [],
        "[budgets]\nsize = { compression_min = 2.0 }",
        "served is an endpoint.* size = { compression_min",
    ),
    (
        "speed",
        [],
        "[budgets]\nlatency = { speedup_min = 2.0 }",
        "served is an endpoint.* latency = { speedup_min",
    ),
    (
        "another task",
        [
            ("text_generation", "text_classification"),
            ('prompt = "text"', 'text = ["text"]'),
            ("reference", "label"),
        ],
        "",
        "task text_classification needs the model itself.* tasks for endpoints: .*text_generation",
    ),
]


@pytest.mark.parametrize(
    ("pairs", "more", "told"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_it_is_refused_with_a_clear_line(
    read: Read, pairs: list[tuple[str, str]], more: str, told: str
) -> None:
    with pytest.raises(SuiteError, match=told) as raised:
        read(*pairs, more=more)
    assert "5309" not in str(raised.value)
    assert "pass@" not in str(raised.value)


def test_a_learner_from_a_server_is_refused(read: Read) -> None:
    learner = [("int8_dynamic = {}", 'distill = { teacher = "served" }')]
    with pytest.raises(
        SuiteError, match='"served" is of kind endpoint; a model to learn from runs in PyTorch'
    ):
        read(*learner)
