"""The splits of a run are those of the rows that their key stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_suite import tiny_run

from slimgate.errors import DataError
from slimgate.run.rows import prepare_rows
from slimgate.store.store import Store


def test_rows_that_change_before_the_lock_are_an_error(tmp_path: Path) -> None:
    """Another run can have the lock for minutes after the key was made."""
    suite, gate = tiny_run(tmp_path).suite, tmp_path / "gate.csv"
    rows = gate.read_text("utf-8")

    class LateStore(Store):
        def make(self, *arguments: Any) -> Any:
            gate.write_text("".join(rows.splitlines(keepends=True)[:31]), "utf-8")
            return super().make(*arguments)

    with pytest.raises(DataError, match="the rows changed while they were read"):
        prepare_rows(suite, LateStore(tmp_path / "store"))
    gate.write_text(rows, "utf-8")
    prepared = prepare_rows(suite, Store(tmp_path / "store"))
    assert (len(prepared.gate), prepared.from_store) == (60, False)
