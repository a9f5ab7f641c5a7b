"""Suites with servers: what is read, and what is refused before anything starts, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slimgate.errors import SuiteError
from slimgate.results.checks import TEACHER
from slimgate.run.gate_results import list_budgeted_checks, list_expected_checks
from slimgate.suite.checks import check_can_ask
from slimgate.suite.reader import load_suite
from slimgate.suite.suite import Suite, dump_params

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
    assert dump_params(served.runtime.params) == {"url": "http://localhost:8000/v1", "model": "m"}
    checks = {(kind, name) for kind, name, _ in list_expected_checks(suite)}
    assert {("size", "int8"), ("quality", "served"), ("behaviour", "served")} <= checks
    assert not {("size", "served"), ("latency", "served"), ("speedup", "served")} & checks


def test_suites_without_endpoints_do_not_measure_failures(read: Read) -> None:
    suite = read((f"[variants.served]\n{SERVER}\n", ""))
    assert "failed" not in suite.metrics


def test_a_missing_key_is_reported_before_a_model_is_built(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(
        SuiteError, match=r"^x.toml \[variants.served\] endpoint: environment variable MY_KEY"
    ):
        check_can_ask(read(), ["served"])
    monkeypatch.setenv("MY_KEY", "k")
    check_can_ask(read(), ["served"])


REFUSED = [
    ("a password", [("localhost", "me:pass@localhost")], "", "a URL without user, password"),
    (
        "no URL",
        [("http://localhost:8000/v1/", "localhost")],
        "",
        '"localhost" was given, expected a URL such as',
    ),
    ("a key", [('"MY_KEY"', '"sk-5309"')], "", "expected the name of an environment variable"),
    ("a near key", [("timeout", "time_out")], "", "unknown key time_out. Did you mean timeout?"),
    ("steps", [(SERVER, f"{SERVER}\nsteps = [{{ int8_dynamic = {{}} }}]")], "", "leave steps out"),
    ("from", [(SERVER, f'{SERVER}\nfrom = "int8"')], "", "endpoint and from were given"),
    (
        "a runtime",
        [(SERVER, f'{SERVER}\nruntime = {{ name = "eager" }}')],
        "",
        "endpoint and runtime were given",
    ),
    (
        "two models",
        [('model = "../model"', f'model = "../model"\n{SERVER}')],
        "",
        "endpoint and model were given",
    ),
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
        "task text_classification needs the model itself.* for endpoints: multiple_choice, text_generation",
    ),
]


LOADS = "\n[measure]\nloads = [{ concurrency = 8 }, { request_rate = 2.5, requests = 100 }]"
TWO_SERVERS = ('model = "../model"', SERVER)
NO_INT8 = ("[variants.int8]\nsteps = [{ int8_dynamic = {} }]\n", "")


def test_loads_are_checked_by_their_parts(read: Read) -> None:
    suite = read(
        TWO_SERVERS,
        NO_INT8,
        more=LOADS + "\n[budgets]\nlatency = { speedup_min = 1.5, tpot_speedup_min = 1.2 }",
    )
    assert suite.loaded == ("served",)
    assert [load.id for load in suite.loads][:4] == ["c8", "c8-ttft", "c8-tpot", "r2.5"]
    checks = {(kind, name, workload) for kind, name, workload in list_expected_checks(suite)}
    assert {("speedup", "served", load.id) for load in suite.loads} <= checks
    assert [quantity for quantity, _ in list_budgeted_checks(suite, "served") if "latency" in quantity] == [
        "latency c8",
        "latency c8-tpot",
        "latency r2.5",
        "latency r2.5-tpot",
    ]


LEVEL = "8, service_level = { ttft_ms = 200, tpot_ms = 30 } }"
GOODPUT = "\n[budgets]\nlatency = { goodput_min = 4.0 }"


def test_limits_on_a_servers_times_are_of_the_parts_they_name(read: Read) -> None:
    limits = "goodput_min = 4.0, p95_ms_max = 900, ttft_p95_ms_max = 200"
    suite = read(
        TWO_SERVERS, NO_INT8, more=LOADS.replace("8 }", LEVEL) + f"\n[budgets]\nlatency = {{ {limits} }}"
    )
    kinds = {
        load.id: [budget.kind for budget in suite.budgets["served"].find_time_budgets(load)]
        for load in suite.loads
    }
    assert kinds == {
        "c8": ["p95_ms_max", "goodput_min"],
        "c8-ttft": ["ttft_p95_ms_max"],
        "c8-tpot": [],
        "r2.5": ["p95_ms_max"],  # no service level, so nothing is good or bad
        "r2.5-ttft": ["ttft_p95_ms_max"],
        "r2.5-tpot": [],
    }
    checks = list_expected_checks(suite)
    assert ("latency", "served", "c8-ttft") in checks
    assert ("latency c8-ttft", ("latency", "served", "c8-ttft")) in list_budgeted_checks(suite, "served")


REFUSED_LOADS = [
    (
        "an empty level",
        [TWO_SERVERS, NO_INT8],
        LOADS.replace("8 }", "8, service_level = {} }"),
        "expected at least one of ttft_ms, tpot_ms, e2el_ms",
    ),
    ("no level", [TWO_SERVERS, NO_INT8], LOADS + GOODPUT, "goodput_min.*defines a good request"),
    ("no loads", [], GOODPUT, "goodput_min.*defines a good request"),
    (
        "tokens a second",
        [TWO_SERVERS, NO_INT8],
        LOADS + GOODPUT.replace("goodput_min", "tokens_per_second_min"),
        "switch the budget off",
    ),
    (
        "few requests",
        [TWO_SERVERS, NO_INT8],
        LOADS.replace("8 }", "8, requests = 4 }") + GOODPUT.replace("goodput_min", "p95_ms_max"),
        "48 requests times blocks was given, expected at least 59 for a budget p95_ms_max",
    ),
    ("no server", [], LOADS, "loads.* are for servers: the teacher and a variant need endpoint"),
    (
        "both",
        [TWO_SERVERS, NO_INT8],
        LOADS.replace("8 }", "8, request_rate = 1.0 }"),
        "concurrency and request_rate given",
    ),
    ("neither", [TWO_SERVERS, NO_INT8], LOADS.replace("concurrency = 8", ""), "none of them given, expected"),
    (
        "twice",
        [TWO_SERVERS, NO_INT8],
        LOADS.replace("}]", "}, { concurrency = 8 }]"),
        r"the same as loads.0.",
    ),
    ("few blocks", [TWO_SERVERS, NO_INT8], LOADS.replace("8 }", "8, blocks = 3 }"), "blocks.*6"),
    (
        "a near key",
        [TWO_SERVERS, NO_INT8],
        LOADS.replace("concurrency", "concurency"),
        "Did you mean concurr",
    ),
]


@pytest.mark.parametrize(
    ("pairs", "more", "message"),
    [case[1:] for case in REFUSED_LOADS],
    ids=[case[0] for case in REFUSED_LOADS],
)
def test_wrong_loads_are_refused(read: Read, pairs: list[tuple[str, str]], more: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        read(*pairs, more=more)


COMMAND = 'server = { command = ["python", "-m", "mine", "--port", "{port}"] }'
STARTED = SERVER.replace("localhost:8000", "localhost:{port}") + "\n" + COMMAND


def test_a_server_is_part_of_what_a_model_is(read: Read) -> None:
    served = read((SERVER, STARTED)).variants["served"]
    assert dump_params(served.runtime.params) == {
        "url": "http://localhost:{port}/v1",
        "model": "m",
        "server": {"command": ["python", "-m", "mine", "--port", "{port}"]},
    }
    assert read((SERVER, SERVER + "\n" + COMMAND.replace("{port}", "8000")))  # a fixed port will do


def test_a_missing_program_is_an_error_before_a_model_is_built(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "k")
    suite = read((SERVER, STARTED.replace('"python"', '"llama-serverr"')))
    with pytest.raises(SuiteError, match=r'\[variants.served\] .*program "llama-serverr" was not found'):
        check_can_ask(suite, ["served"])


REFUSED_SERVERS = [
    ("no endpoint", COMMAND, "server was given without endpoint"),
    ("no server", SERVER.replace("8000", "{port}"), r"\{port\} in url is for a server that slimgate starts"),
    ("far away", STARTED.replace("localhost", "10.0.0.1"), "slimgate starts the server on this machine"),
    ("a port apart", f"{SERVER}\n{COMMAND}", r"\{port\} is in command and not in url"),
    ("a key", STARTED.replace('"mine"', '"--api-key", "sk-5309"'), "a key may not be in a suite"),
    (
        "a key by =",
        STARTED.replace('"mine"', '"--api-key=sk-5309"'),
        "--api-key was given, but a key may not",
    ),
    (
        "a path",
        STARTED.replace("] }", '], ready = "health" }'),
        '"health" was given, expected a path on the serv',
    ),
    ("a signal", STARTED.replace("] }", '], stop = "TERM" }'), "stop.*SIGTERM"),
    ("no table", STARTED.replace(COMMAND, 'server = "vllm serve"'), "expected a table, such as { command"),
    ("no program", STARTED.replace('"python", "-m", "mine", "--port", "{port}"', ""), "command"),
    ("a near key", STARTED.replace("] }", '], redy = "/health" }'), "unknown key redy. Did you mean ready"),
]


@pytest.mark.parametrize(
    ("table", "message"), [case[1:] for case in REFUSED_SERVERS], ids=[case[0] for case in REFUSED_SERVERS]
)
def test_a_wrong_server_is_refused_with_a_clear_line(read: Read, table: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message) as raised:
        read((SERVER, table))
    assert "5309" not in str(raised.value)


@pytest.mark.parametrize(
    ("pairs", "more", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_it_is_refused_with_a_clear_line(
    read: Read, pairs: list[tuple[str, str]], more: str, message: str
) -> None:
    with pytest.raises(SuiteError, match=message) as raised:
        read(*pairs, more=more)
    assert "5309" not in str(raised.value)
    assert "pass@" not in str(raised.value)


def test_a_learner_from_a_server_is_refused(read: Read) -> None:
    learner = [("int8_dynamic = {}", 'distill = { teacher = "served" }')]
    with pytest.raises(
        SuiteError, match='"served" is of kind endpoint; a model to learn from must run in PyTorch'
    ):
        read(*learner)
