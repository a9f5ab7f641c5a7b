"""The splits of a run are those of the rows that their key stands for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.tiny_suite import make_tiny_run

from slimgate.errors import DataError
from slimgate.run.rows import prepare_rows
from slimgate.run.user_errors import explain_plugin_errors
from slimgate.store.store import Store


def test_rows_that_change_before_the_lock_are_an_error(tmp_path: Path) -> None:
    """Another run can have the lock for minutes after the key was made."""
    suite, gate = make_tiny_run(tmp_path).suite, tmp_path / "gate.csv"
    rows = gate.read_text("utf-8")

    class LateStore(Store):
        def make(self, *arguments: Any, **options: Any) -> Any:
            gate.write_text("".join(rows.splitlines(keepends=True)[:31]), "utf-8")
            return super().make(*arguments, **options)

    with pytest.raises(DataError, match="the rows changed while they were read"):
        prepare_rows(suite, LateStore(tmp_path / "store"))
    gate.write_text(rows, "utf-8")
    prepared = prepare_rows(suite, Store(tmp_path / "store"))
    assert (len(prepared.gate), prepared.from_store) == (60, False)


@pytest.mark.parametrize(
    ("values", "is_refused"),
    [(("train", "Test"), True), (("train", "shop"), False), (("train", "train"), False)],
    ids=["splits", "another word", "one value"],
)
def test_one_file_with_a_column_of_splits_is_refused(
    tmp_path: Path, values: tuple[str, str], is_refused: bool
) -> None:
    run = make_tiny_run(
        tmp_path,
        **{'train = "train.csv", gate = "gate.csv"': 'path = "train.csv"', "selection = 16": "selection = 8"},
    )
    lines = (tmp_path / "train.csv").read_text("utf-8").splitlines()
    column = ["part", *(values[number % 2] for number in range(len(lines) - 1))]
    rows = "".join(f"{line},{value}\n" for line, value in zip(lines, column, strict=True))
    (tmp_path / "train.csv").write_text(rows, "utf-8")
    store = Store(tmp_path / "other")
    if not is_refused:
        assert len(prepare_rows(run.suite, store).gate) > 0
        return
    todo = 'split_column = "part", splits = { train = ["train"], gate = ["Test"] }'
    with pytest.raises(DataError, match=re.escape(todo)):
        prepare_rows(run.suite, store)


@pytest.mark.parametrize("digest", [None, "", b"a"], ids=["nothing", "empty", "bytes"])
def test_a_source_without_a_digest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: object
) -> None:
    """A digest without `return` is None for every content, so the rows of an earlier run were judged."""
    suite = make_tiny_run(tmp_path).suite
    monkeypatch.setattr(type(suite.setup.source.object), "digest", lambda *_: digest)
    message = (
        f'source "files": its digest returned {digest!r}, expected a text that changes if the rows change'
    )
    with pytest.raises(DataError, match=re.escape(message)):
        prepare_rows(suite, Store(tmp_path / "store"))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            pa.table({"text": ["a"]}),
            "the source gave Table, expected a dict of tables; expected all, or",
        ),
        (None, "the source gave NoneType, expected a dict of tables"),
        ({"all": [{"text": "a"}]}, "the source gave list as all, expected a pyarrow Table"),
    ],
    ids=["one-table", "nothing", "a-list-of-rows"],
)
def test_a_source_that_gives_no_dict_of_tables_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: object, message: str
) -> None:
    suite = make_tiny_run(tmp_path).suite
    monkeypatch.setattr(type(suite.setup.source.object), "read", lambda *_, **__: parts)
    with pytest.raises(DataError, match=message):
        prepare_rows(suite, Store(tmp_path / "store"))


def test_an_error_in_a_users_source_is_one_line() -> None:
    with (
        pytest.raises(
            DataError, match=r"source \"mytools.rows:Rows\": KeyError: 'text' \(test_rows.py, line \d+\)"
        ),
        explain_plugin_errors("source", "mytools.rows:Rows"),
    ):
        {}["text"]
    with (
        pytest.raises(KeyError),
        explain_plugin_errors("source", "files"),
    ):  # a fault of slimgate keeps its traceback
        {}["text"]


def raise_key_error(*_: object) -> None:
    raise KeyError("colour")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (lambda *_: None, 'task "mytools.mails:Mails": its facts returned None, expected TaskFacts'),
        (raise_key_error, r"""task "mytools.mails:Mails": KeyError: 'colour' \(test_rows.py, line"""),
    ],
    ids=["nothing", "an error"],
)
def test_facts_of_a_users_task_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: Any, message: str
) -> None:
    suite = make_tiny_run(tmp_path).suite
    task = replace(suite.setup.task, name="mytools.mails:Mails")
    monkeypatch.setattr(type(task.object), "facts", facts)
    mails = replace(suite, setup=replace(suite.setup, task=task))
    with pytest.raises(DataError, match=message):
        prepare_rows(mails, Store(tmp_path / "store"))


def test_a_task_without_a_text_column_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = make_tiny_run(tmp_path).suite
    monkeypatch.setattr(type(suite.setup.task.object), "text_columns", lambda *_: ())
    with pytest.raises(DataError, match="its text_columns returned no column, expected at least one"):
        prepare_rows(suite, Store(tmp_path / "store"))
