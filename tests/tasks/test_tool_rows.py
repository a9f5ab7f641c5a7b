"""Rows with messages, tools and expected calls: what models get, how answers are scored, wrong rows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from support.answer_server import serving

from fixtures.models.architectures import write_tiny
from slimgate.data.json_rows import make_object_table
from slimgate.errors import DataError, SuiteError
from slimgate.models.write_answers import SamplingParams, Written
from slimgate.outcomes import RIGHT
from slimgate.plugins.models import ModelRef
from slimgate.plugins.rows import Rows, TaskFacts
from slimgate.plugins.task import AnswerPlan
from slimgate.runtimes import endpoint
from slimgate.tasks import text_generation, text_to_text
from slimgate.tasks.parts.endpoint_prompts import make_load_requests

task = text_generation.task
PARAMS = text_generation.Params(prompt="messages", reference="call", tools="tools")
TEMPLATE = (
    "{% if tools %}{{ tools | tojson }} {% endif %}{% for one in messages %}{{ one | tojson }} {% endfor %}is"
)
BLIND = "{% for one in messages %}{{ one['content'] }} {% endfor %}is"


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


WEATHER, CLOCK = tool("weather", city={"type": "string"}), tool("clock", zone={"type": "string"})
ASKED = [{"role": "user", "content": "weather in Paris?"}]
CALLED = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
TURNS = [
    {"role": "system", "content": "be brief"},
    *ASKED,
    {"role": "assistant", "tool_calls": [CALLED]},
    {"role": "tool", "content": "18", "tool_call_id": "c1"},
    {"role": "user", "content": "and in Rome?"},
]
PARIS, ROME = ({"name": "weather", "arguments": {"city": city}} for city in ("Paris", "Rome"))


def row(**columns: Any) -> dict[str, Any]:
    return {"messages": ASKED, "tools": [WEATHER, CLOCK], "call": PARIS, **columns}


def table_of(*rows: dict[str, Any]) -> Rows:
    table = make_object_table(list(rows), where="rows.jsonl")
    return Rows(table.add_column(0, "id", pa.array([f"r{number}" for number in range(len(rows))])))


TEXT_COLUMNS = {"tools": json.dumps([WEATHER, CLOCK]), "call": json.dumps(PARIS)}
ROWS = table_of(row(), row(messages=TURNS, tools=[WEATHER], call=ROME))
FORMS = {
    "objects": ROWS,
    "JSON text": table_of(
        row(**TEXT_COLUMNS), row(messages=TURNS, tools=json.dumps([WEATHER]), call=json.dumps(ROME))
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("llama"), "llama", causal=True)


def with_template(folder: Path, to: Path, template: str) -> Path:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(to)
    (to / "config.json").write_bytes((folder / "config.json").read_bytes())
    return to


# --- what models get


@pytest.mark.parametrize("form", FORMS)
def test_a_template_gets_messages_and_tools_as_they_are(folder: Path, tmp_path: Path, form: str) -> None:
    artifact = with_template(folder, tmp_path, TEMPLATE)
    encoded = task.row_encoder(PARAMS, artifact)(FORMS[form])
    first, second = ([json.loads(piece) for piece in pieces_of(text)] for text in encoded.texts)
    assert first == [[WEATHER, CLOCK], *ASKED]
    assert second == [[WEATHER], *TURNS]


def pieces_of(text: str) -> list[str]:
    """The JSON values of a prompt, which stand behind each other."""
    decoder, pieces, rest = json.JSONDecoder(), [], text.removesuffix("is").strip()
    while rest:
        _, end = decoder.raw_decode(rest)
        pieces.append(rest[:end])
        rest = rest[end:].strip()
    return pieces


def test_a_text_can_be_the_message_of_a_chat(folder: Path, tmp_path: Path) -> None:
    artifact = with_template(folder, tmp_path, TEMPLATE)
    params = PARAMS.model_copy(update={"chat": True})
    encoded = task.row_encoder(params, artifact)(table_of(row(messages="good film")))
    assert "good film" in encoded.texts[0]
    assert "weather" in encoded.texts[0]


def test_rows_without_the_column_of_tools_are_encoded(folder: Path, tmp_path: Path) -> None:
    """A transfer set has the prompts alone."""
    artifact = with_template(folder, tmp_path, TEMPLATE)
    encoded = task.row_encoder(PARAMS, artifact)(Rows(ROWS.table.drop_columns(["tools", "call"])))
    assert "clock" not in encoded.texts[0]


@pytest.mark.parametrize("form", FORMS)
def test_a_server_gets_messages_and_tools_as_they_are(form: str, tmp_path: Path) -> None:
    prompts = to_asked(FORMS[form], tmp_path)
    calls = json.dumps([{"arguments": {"city": "Paris"}, "name": "weather"}])
    with serving(lambda *_: f"calls {calls}") as server:
        table = endpoint.EndpointTable(url=server.url, model="m", concurrency=1)
        answers = task.answer(PARAMS, endpoint.EndpointPredictor(table), prompts, AnswerPlan(1))
    assert [body["messages"] for body in server.bodies] == [ASKED, TURNS]
    assert [body["tools"] for body in server.bodies] == [[WEATHER, CLOCK], [WEATHER]]
    assert {answer.text for (answer,) in answers} == {'[{"name": "weather", "arguments": {"city": "Paris"}}]'}
    assert all(answer.ended and not answer.failed for (answer,) in answers)
    outcomes = task.outcomes(TaskFacts(()), FORMS[form], answers, PARAMS, None)
    assert outcomes.column("tool_call_exact").tolist() == [1, 0]
    assert outcomes.column("tool_call_valid").tolist() == [1, 1]


def to_asked(rows: Rows, folder: Path) -> Any:
    """The rows as an endpoint in the folder gets them."""
    (folder / endpoint.FILE).write_text("{}")
    return task.row_encoder(PARAMS, folder)(rows)


def test_a_load_sends_the_tools_of_each_prompt(tmp_path: Path) -> None:
    prompts = to_asked(ROWS, tmp_path)
    joined = prompts.take([1]).join(prompts.take([0]))
    sent = make_load_requests(joined, SamplingParams(4), 2, seed=0)
    assert sorted(len(request.options["tools"]) for request in sent) == [1, 2]
    assert {len(request.prompt): len(request.options["tools"]) for request in sent} == {5: 1, 1: 2}


# --- scores


def scored(rows: Rows, *answers: str, params: text_generation.Params = PARAMS) -> Any:
    written = np.empty((len(answers), 1), dtype=np.object_)
    written[:, 0] = [Written(answer, (1,), True) for answer in answers]
    return task.outcomes(TaskFacts(()), rows, written, params, None)


def test_a_changed_argument_is_seen_by_the_exact_score_alone() -> None:
    rows = table_of(row(), row(), row())
    changed = json.dumps({**PARIS, "arguments": {"city": "Parma"}})
    outcomes = scored(rows, json.dumps(PARIS), changed, "Paris")
    assert outcomes.column("tool_call_exact").tolist() == [1, 0, 0]
    assert outcomes.column("tool_call_valid").tolist() == [1, 1, 0]
    assert outcomes.column(RIGHT).tolist() == [1, 0, 0]


def test_tools_are_those_of_the_row() -> None:
    clock = json.dumps({"name": "clock", "arguments": {"zone": "CET"}})
    assert scored(ROWS, clock, clock).column("tool_call_valid").tolist() == [1, 0]


def test_references_are_calls_lists_of_them_or_texts() -> None:
    calls = [table_of(row(call=value)) for value in ([PARIS, ROME], json.dumps([PARIS, ROME]))]
    for rows in calls:
        assert scored(rows, json.dumps([PARIS, ROME])).column("tool_call_exact").tolist() == [1]
    either = table_of(row(call=[json.dumps(PARIS), json.dumps(ROME)]))  # two texts, and each is right
    assert scored(either, json.dumps(ROME)).column("tool_call_exact").tolist() == [1]
    none = table_of(row(call=[PARIS]), row(call=[]))
    task.facts(PARAMS, {"gate": none})
    assert scored(none, json.dumps(PARIS), "Hello").column("tool_call_exact").tolist() == [1, 1]


def test_scores_of_calls_are_the_default_with_tools() -> None:
    assert task.default_metrics_with(PARAMS)[:2] == ("tool_call_exact", "tool_call_valid")
    assert task.default_metrics_with(text_generation.Params(prompt="p", tools="t"))[0] == "tool_call_valid"
    assert task.columns(PARAMS) == ("messages", "call", "tools")
    assert task.default_metrics_with(text_generation.Params(prompt="p", reference="r"))[0] == "exact_match"


# --- wrong rows and options


@pytest.mark.parametrize("rows", FORMS.values(), ids=FORMS)
def test_right_rows_have_no_facts_and_no_error(rows: Rows) -> None:
    assert task.facts(PARAMS, {"train": rows, "gate": rows}) == TaskFacts(())


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"tools": "[{"}, r'gate row r1, column "tools": not JSON \(.*\), expected a list of tools'),
        ({"tools": None}, 'gate row r1, column "tools": nothing was given'),
        ({"tools": '[{"function": {}}]'}, 'gate row r1, column "tools": tool 1 has no name'),
        (
            {"tools": json.dumps([tool("weather", city={"type": "text"})])},
            'gate row r1, column "tools": parameters of tool "weather" are not a JSON Schema: \'text\'',
        ),
        (
            {"tools": json.dumps([CLOCK])},
            'gate row r1: the expected call names "weather", which is not a tool of the row; '
            "the row has clock",
        ),
        ({"call": "It is warm."}, "gate row r1, column \"call\": 'It is warm.' was given, expected a call"),
        ({"call": " "}, 'gate row r1 has no reference in column "call"'),
    ],
)
def test_a_wrong_row_is_one_line(columns: dict[str, Any], problem: str) -> None:
    rows = table_of(row(**TEXT_COLUMNS), row(**{**TEXT_COLUMNS, **columns}))
    with pytest.raises(DataError, match=problem) as raised:
        task.facts(PARAMS, {"gate": rows})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (
            [{"role": "robot", "content": "x"}],
            'message 1 has the role "robot", expected system, developer, user',
        ),
        ([*ASKED, {"content": "x"}], "message 2 has no role, expected"),
        ([{"role": "user"}], "message 1 of role user has no text as its content"),
        ([{"role": "user", "tool_calls": [CALLED]}], "message 1 of role user has tool_calls"),
        (
            [*ASKED, {"role": "assistant", "tool_calls": [{"id": "c1"}]}],
            r"message 2 has tool_calls .*, expected a list of",
        ),
        ([{"role": "assistant", "tool_calls": []}], "message 1 of role assistant has no text"),
        ([], "was given, expected a list of messages"),
        (["hello"], "message 1 is 'hello', expected"),
        ({"role": "user", "content": "x"}, "was given, expected a list of messages"),
    ],
)
def test_wrong_messages_are_one_line_with_the_row(messages: Any, problem: str) -> None:
    rows = table_of(row(messages=messages))
    with pytest.raises(DataError, match=f'train row r0, column "messages": .*{problem}'):
        task.facts(text_generation.Params(prompt="messages"), {"train": rows})


def test_tools_need_a_chat() -> None:
    rows = table_of(row(messages="weather in Paris?"))
    with pytest.raises(
        DataError, match='column "messages" is text, and tools need a chat template; set chat'
    ):
        task.facts(PARAMS, {"gate": rows})
    task.facts(PARAMS.model_copy(update={"chat": True}), {"gate": rows})


def test_scores_of_tools_need_the_column() -> None:
    with pytest.raises(ValidationError, match="score tool_call_valid reads the tools of a row; set tools"):
        text_generation.Params(prompt="p", scores=("tool_call_valid",))
    with pytest.raises(ValidationError, match="score tool_call_valid reads the tools of a row; set tools"):
        text_to_text.Params(text="t", scores=("tool_call_valid",))
    with pytest.raises(ValidationError, match="unknown key tools"):
        text_to_text.Params.model_validate({"text": "t", "tools": "t"})


def test_a_template_that_ignores_tools_is_refused_before_a_build(folder: Path, tmp_path: Path) -> None:
    facts, config = TaskFacts(()), json.loads((folder / "config.json").read_text())
    blind, seeing = (
        ModelRef("model", with_template(folder, tmp_path / name, template))
        for name, template in (("blind", BLIND), ("seeing", TEMPLATE))
    )
    task.check_model(PARAMS, seeing, config, facts)
    task.check_model(PARAMS, blind, config, None)  # the suite is only read
    task.check_model(replace_tools(None), blind, config, facts)
    with pytest.raises(SuiteError, match=r"^model: the chat template makes the same prompt"):
        task.check_model(PARAMS, blind, config, facts)
    with pytest.raises(SuiteError, match="has no chat template"):
        task.check_model(PARAMS, replace(blind, folder=folder), config, facts)
    assert blind.folder is not None
    with pytest.raises(DataError, match="the chat template makes the same prompt with and without tools"):
        task.row_encoder(PARAMS, blind.folder)(ROWS)


def test_a_tokenizer_that_cannot_be_loaded_is_one_line(folder: Path, tmp_path: Path) -> None:
    (with_template(folder, tmp_path, TEMPLATE) / "tokenizer.json").write_text("{}")
    with pytest.raises(SuiteError, match=r"^model: its tokenizer cannot be loaded: ") as raised:
        task.check_model(PARAMS, ModelRef("model", tmp_path), {}, TaskFacts(()))
    assert "\n" not in str(raised.value)


def replace_tools(tools: str | None) -> text_generation.Params:
    return PARAMS.model_copy(update={"tools": tools, "scores": ("tool_call_exact",)})
