"""What servers state of themselves, in the reports and between two releases."""

from __future__ import annotations

from typing import Any

import pytest
from support.report_sections import read_table
from support.sample_record import make_artifact, make_sample_record, make_variant

from slimgate.plugins.environments import ENGINE, SAMPLING
from slimgate.record.comparing.environment import compare_records, describe_server_changes
from slimgate.record.run import RunRecord
from slimgate.report.environments import list_server_differences, make_servers_table
from slimgate.report.html import render_html_report
from slimgate.report.markdown import format_suite_report

LONG = {"engine": {"context tokens": 8192, "slots": 4}, "sampling": {"temperature": 0.8}}
SHORT = {"engine": {"context tokens": 2048, "slots": 1}, "sampling": {"temperature": 0.8}}
WARM = {"engine": {"context tokens": 8192, "slots": 4}, "sampling": {"temperature": 1.0}}
Server = dict[str, dict[str, Any]]


def record_of(teacher: Server, served: Server, *, command: tuple[str, ...] = ()) -> RunRecord:
    params = {"server": {"command": list(command)}} if command else {}
    return make_sample_record(
        variants=[
            make_variant("teacher", artifact=make_artifact(4_000, 1_000, kind="endpoint", server=teacher)),
            make_variant(
                "served",
                artifact=make_artifact(1_000, 1_000, kind="endpoint", server=served, runtime_params=params),
            ),
        ]
    )


def test_the_table_has_a_row_for_each_setting() -> None:
    table = make_servers_table(
        record_of(LONG, {"engine": {"context tokens": 2048}}, command=("vllm", "serve"))
    )
    assert read_table(table) == [
        ["setting", "teacher", "served"],
        ["context tokens", "8192", "2048"],
        ["slots", "4", "–"],
        ["temperature", "0.8", "–"],
        ["command", "–", "vllm serve"],
    ]


def test_both_reports_have_the_table() -> None:
    served = record_of(LONG, SHORT)
    assert "<b>Servers</b>, the settings that each states" in format_suite_report(served)
    assert "context tokens" in render_html_report(served)
    assert make_servers_table(record_of({}, {})) == ""


@pytest.mark.parametrize(
    ("served", "changes"),
    [
        (SHORT, ["context tokens 8192 → 2048"]),
        (WARM, ["temperature 0.8 → 1.0"]),
        ({"engine": {"context tokens": 8192}}, []),
        (LONG, []),
        ({}, []),
        ({"model": {"files": "tiny.gguf"}}, []),
    ],
    ids=["context", "sampling", "states no sampling", "the same", "states nothing", "states its files alone"],
)
def test_a_server_that_differs_from_the_teachers_is_a_note(served: Server, changes: list[str]) -> None:
    notes = list(list_server_differences(record_of(LONG, served)))
    assert [note.partition("teacher's: ")[2].rstrip(".") for note in notes] == changes


def test_another_server_than_in_the_last_release_is_named() -> None:
    old, new = record_of(LONG, LONG), record_of(LONG, SHORT, command=("vllm", "serve"))
    assert list(describe_server_changes(old, new)) == [
        "The server of served has other settings: context tokens 8192 → 2048, slots 4 → 1."
    ]
    assert list(describe_server_changes(old, old)) == []
    assert list(describe_server_changes(record_of({}, {}), new)) == []
    before = record_of({}, {}, command=("vllm", "serve", "--quantization", "fp8"))
    assert list(describe_server_changes(before, new)) == [
        "The server of served has other settings: command vllm serve --quantization fp8 → vllm serve."
    ]


def test_settings_of_servers_are_part_of_the_environment() -> None:
    changes = compare_records(record_of(LONG, LONG), record_of(LONG, WARM)).changed
    assert [(change.area, change.name, change.base, change.target) for change in changes] == [
        (SAMPLING, "temperature of served", 0.8, 1.0)
    ]
    changes = compare_records(record_of(LONG, LONG), record_of(SHORT, LONG)).changed
    assert {change.area for change in changes} == {ENGINE}
