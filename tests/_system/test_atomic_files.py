"""A reader sees the old file or the new one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from slimgate._system.files import replacing, replacing_folder, write_atomically


def test_a_text_is_written_whole_with_the_folders_above(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a/b/run.json", "ü")
    assert (tmp_path / "a/b/run.json").read_text("utf-8") == "ü"
    assert [file.name for file in (tmp_path / "a/b").iterdir()] == ["run.json"]


def test_the_old_file_stays_if_the_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="the disk"):
        write_half(path)
    assert path.read_text() == "old"


def write_half(path: Path) -> None:
    with replacing(path) as new:
        new.write_text("ha")
        assert path.read_text() == "old"
        raise RuntimeError("the disk")


def test_an_error_of_the_disk_gets_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(OSError, match="No space left") as raised, replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert raised.value.filename == str(path)
    with pytest.raises(OSError, match="Is a directory") as raised, replacing(path) as new:
        raise OSError(errno.EISDIR, "Is a directory", str(new))
    assert raised.value.filename == str(path)


def test_what_failed_leaves_no_half_file_behind(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_a_killed_process_of_the_same_id_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / f".out.new.{os.getpid()}").mkdir()
    with replacing_folder(tmp_path / "out") as new:
        (new / "a").write_text("x")
    assert (tmp_path / "out/a").read_text() == "x"
    assert [path.name for path in tmp_path.glob(".out.*")] == [f".out.new.{os.getpid()}"]


def test_two_writers_with_one_process_id_have_two_files(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first.read_text() == "first"
    assert path.read_text() == "first"
