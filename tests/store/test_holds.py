"""Which entries a process uses, also if somebody removes the files that say so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from slimgate.store.holds import hold_entry, list_used_entries, lock_holds


@pytest.mark.parametrize("removed", ["holds", "holds/*.lock"], ids=["the folder", "the locks"])
def test_a_hold_is_written_again_if_its_files_are_gone(tmp_path: Path, removed: str) -> None:
    hold_entry(tmp_path, "artifacts-a")
    hold_entry(tmp_path, "artifacts-b")
    for path in tmp_path.glob(removed):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    hold_entry(tmp_path, "artifacts-a")
    with lock_holds(tmp_path):
        assert list_used_entries(tmp_path) == {"artifacts-a", "artifacts-b"}
