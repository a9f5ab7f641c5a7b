"""Records as files: a run.json, its folder, and a folder of baselines."""

from __future__ import annotations

from pathlib import Path

import pytest
from releases import SUITE, write_release

from slimgate.errors import DataError
from slimgate.record import AcceptedFacts, SuiteFacts
from slimgate.record_files import baselines_in, read_kept, record_file


def kept(folder: Path, name: str, at: str, suite: str = SUITE) -> None:
    facts = SuiteFacts(path=suite, title="", digest="", seeds=[0])
    write_release(folder, suite=facts, accepted=AcceptedFacts(name=name, at=at))


def test_a_record_is_found_by_its_file_and_by_its_folder(tmp_path: Path) -> None:
    write_release(tmp_path / "run")
    assert (
        record_file(tmp_path / "run") == record_file(tmp_path / "run/run.json") == tmp_path / "run/run.json"
    )
    assert read_kept(tmp_path / "run").name == (tmp_path / "run/run.json").as_posix()


def test_a_folder_above_runs_names_those_below(tmp_path: Path) -> None:
    write_release(tmp_path / "latest" / "support")
    with pytest.raises(DataError, match=r"below it are .*latest/support$"):
        record_file(tmp_path / "latest")


def test_baselines_come_by_the_time_they_were_accepted(tmp_path: Path) -> None:
    kept(tmp_path / "a" / "support", "a", "2026-11-03")
    kept(tmp_path / "b" / "support", "b", "2026-11-01")
    kept(tmp_path / "by-hand", "c", "2026-11-02")
    kept(tmp_path / "a" / "other", "a", "2026-11-09", suite="bench/other.toml")
    kept(tmp_path / "a" / ".support.new.7", "half", "2026-11-09")
    assert [one.name for one in baselines_in(tmp_path, SUITE)] == ["b", "c", "a"]


def test_a_baseline_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    kept(tmp_path / "a" / "support", "a", "2026-11-03")
    (tmp_path / "a/support/run.json").write_text("half")
    with pytest.raises(DataError, match=r"a/support/run\.json: not a run record of schema slimgate\.run/1"):
        baselines_in(tmp_path, SUITE)
