"""slimgate.store: an entry appears whole or not at all, is made once, and again where it is broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from slimgate.errors import BuildError
from slimgate.store import Store, files_of, moment, read_manifest, scratch_beside

# A process that makes artifacts/k; each making leaves a line in made.txt.
MAKER = """
import sys, time
from pathlib import Path
from slimgate.store import Store

root, seconds = Path(sys.argv[1]), float(sys.argv[2])

def fill(folder):
    with (root.parent / "made.txt").open("a") as stream:
        stream.write("x")
    (folder / "half.txt").write_text("half")
    (root.parent / "filling").touch()
    time.sleep(seconds)
    (folder / "rest.txt").write_text("rest")
    return {"kind": "torch"}

print(Store(root).make("artifacts", "k", fill).from_store)
"""


def fill(folder: Path) -> dict[str, Any]:
    (folder / "inner").mkdir()
    (folder / "inner" / "a.txt").write_text("abc")
    return {"kind": "torch"}


def start_maker(root: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAKER, str(root), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_an_entry_is_made_once_and_found_again(tmp_path: Path) -> None:
    first = Store(tmp_path / "s").make("artifacts", "k", fill)
    again = Store(tmp_path / "s").make("artifacts", "k", fill)
    assert (first.from_store, again.from_store) == (False, True)
    assert again.folder == tmp_path / "s" / "artifacts" / "k"
    assert again.manifest["kind"] == "torch"
    assert again.manifest["sizes"] == {"inner/a.txt": 3}
    assert files_of(again.folder) == ["inner/a.txt"]
    assert again.manifest == first.manifest


def test_the_same_key_of_another_kind_is_another_entry(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.make("artifacts", "k", fill)
    assert store.find("outcomes", "k") is None
    assert store.find("artifacts", "other") is None


def test_a_fill_that_raises_leaves_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> dict[str, Any]:
        fill(folder)
        raise RuntimeError("in the middle")

    store = Store(tmp_path / "s")
    with pytest.raises(RuntimeError, match="in the middle"):
        store.make("artifacts", "k", broken)
    assert store.find("artifacts", "k") is None
    assert not (tmp_path / "s" / "artifacts").exists()
    assert list((tmp_path / "s" / "tmp").iterdir()) == []
    assert not store.make("artifacts", "k", fill).from_store


def test_a_manifest_that_is_not_json_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    with pytest.raises(TypeError):
        store.make("artifacts", "k", lambda _: {"kind": Path("x")})
    assert store.find("artifacts", "k") is None
    assert list((tmp_path / "s" / "tmp").iterdir()) == []


def test_what_a_killed_process_left_is_invisible_and_the_next_run_makes_the_entry(tmp_path: Path) -> None:
    root = tmp_path / "s"
    process = start_maker(root, 60)
    try:
        wait_for(tmp_path / "filling")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert [path.name for path in (root / "tmp").iterdir()] == [f"artifacts-k-{process.pid}"]
    store = Store(root)
    assert store.find("artifacts", "k") is None
    assert not store.make("artifacts", "k", fill).from_store
    assert list((root / "tmp").iterdir()) == []
    assert files_of(root / "artifacts" / "k") == ["inner/a.txt"]


def test_of_two_processes_one_makes_and_the_other_waits(tmp_path: Path) -> None:
    makers = [start_maker(tmp_path / "s", 0.5) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in makers)
    assert said == ["False", "True"]
    assert (tmp_path / "made.txt").read_text() == "x"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "inner" / "a.txt").write_text("abcd"),
        lambda folder: (folder / "inner" / "a.txt").unlink(),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").write_text('{"sizes": 3}'),
        lambda folder: (folder / "manifest.json").write_text('{"kind": "torch"}'),
    ],
    ids=["another size", "no file", "no manifest", "cut", "a list", "sizes of another type", "no sizes"],
)
def test_a_damaged_entry_counts_as_missing_and_is_made_again(tmp_path: Path, damage: Any) -> None:
    store = Store(tmp_path / "s")
    folder = store.make("artifacts", "k", fill).folder
    damage(folder)
    assert read_manifest(folder) is None
    assert store.find("artifacts", "k") is None
    assert not store.make("artifacts", "k", fill).from_store
    assert (folder / "inner" / "a.txt").read_text() == "abc"
    assert list((tmp_path / "s" / "tmp").iterdir()) == []


def test_rebuild_makes_each_entry_once_more_and_then_keeps_it(tmp_path: Path) -> None:
    Store(tmp_path / "s").make("artifacts", "k", fill)
    rebuilding = Store(tmp_path / "s", rebuild_before=moment())
    assert rebuilding.find("artifacts", "k") is None
    assert not rebuilding.make("artifacts", "k", fill).from_store
    assert rebuilding.make("artifacts", "k", fill).from_store
    assert Store(tmp_path / "s").make("artifacts", "k", fill).from_store


def test_a_rebuild_that_fails_leaves_the_old_entry(tmp_path: Path) -> None:
    Store(tmp_path / "s").make("artifacts", "k", fill)

    def broken(_folder: Path) -> dict[str, Any]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Store(tmp_path / "s", rebuild_before=moment()).make("artifacts", "k", broken)
    assert Store(tmp_path / "s").find("artifacts", "k") is not None


def test_a_root_that_cannot_be_written_is_one_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BuildError) as caught:
        Store(tmp_path / "file" / "store")
    assert str(caught.value).startswith(f"store {tmp_path / 'file' / 'store'}: cannot be written (")
    assert str(caught.value).endswith("; name another by --slimgate-store DIR")
    assert "\n" not in str(caught.value)


def test_the_store_keeps_itself_out_of_git(tmp_path: Path) -> None:
    Store(tmp_path / "s")
    assert (tmp_path / "s" / ".gitignore").read_text() == "*\n"


def test_the_manifest_says_its_key_and_when_it_was_made(tmp_path: Path) -> None:
    folder = Store(tmp_path / "s").make("artifacts", "k", fill).folder
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest["key"] == "k"
    assert manifest["created"].endswith("+00:00")


def test_what_a_killed_process_left_is_removed_though_its_key_is_never_made_again(tmp_path: Path) -> None:
    root = tmp_path / "s"
    process = start_maker(root, 60)
    wait_for(tmp_path / "filling")
    Store(root)
    assert [path.name for path in (root / "tmp").iterdir()] == [f"artifacts-k-{process.pid}"]  # it is at work
    process.kill()
    process.communicate()
    Store(root)
    assert list((root / "tmp").iterdir()) == []


def test_scratch_space_lies_in_the_store_and_is_gone_with_its_entry(tmp_path: Path) -> None:
    def using_scratch(folder: Path) -> dict[str, Any]:
        with scratch_beside(folder) as scratch:
            (scratch / "cache.bin").write_text("x")
            assert scratch.parent == tmp_path / "s" / "tmp"
            return fill(folder)

    store = Store(tmp_path / "s")
    assert files_of(store.make("artifacts", "k", using_scratch).folder) == ["inner/a.txt"]
    assert list((tmp_path / "s" / "tmp").iterdir()) == []
