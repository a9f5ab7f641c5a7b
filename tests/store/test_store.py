"""slimgate.store.store: an entry appears whole or not at all, is made once, and again where it is broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from slimgate._system.timestamps import format_now
from slimgate.errors import BuildError
from slimgate.store.seal import Damaged, check_entry
from slimgate.store.store import DamagedEntry, Store, list_files, make_scratch_folder

# A process that makes artifacts/k; each making leaves a line in made.txt.
MAKER = """
import sys, time
from pathlib import Path
from slimgate.store.store import Store

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
    return {"kind": "torch", "label": "student · step 1 of 1"}


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
    assert list_files(again.folder) == ["inner/a.txt"]
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


def test_a_killed_process_leaves_nothing_visible(tmp_path: Path) -> None:
    root = tmp_path / "s"
    process = start_maker(root, 60)
    try:
        wait_for(tmp_path / "filling")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    [left] = (root / "tmp").iterdir()
    assert left.name.startswith(f"artifacts-k-{process.pid}.")
    store = Store(root)
    assert store.find("artifacts", "k") is None
    assert not store.make("artifacts", "k", fill).from_store
    assert list((root / "tmp").iterdir()) == []
    assert list_files(root / "artifacts" / "k") == ["inner/a.txt"]


def test_of_two_processes_one_makes_and_the_other_waits(tmp_path: Path) -> None:
    makers = [start_maker(tmp_path / "s", 0.5) for _ in range(2)]
    printed = sorted(process.communicate(timeout=60)[0].strip() for process in makers)
    assert printed == ["False", "True"]
    assert (tmp_path / "made.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "inner/a.txt").write_text("abcd"), "inner/a.txt: 4 bytes, expected 3"),
        (lambda folder: (folder / "inner/a.txt").write_text("abd"), "inner/a.txt: sha256 a52d159f262b…"),
        (lambda folder: (folder / "inner/a.txt").unlink(), "inner/a.txt: missing"),
        (lambda folder: (folder / "b.txt").write_text(""), "b.txt: not one of its files"),
        (lambda folder: (folder / "b.txt").symlink_to("/etc"), "b.txt: a link, or no plain file"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: not JSON"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"\xff"), "manifest.json: not UTF-8"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "manifest.json: without a seal"),
        (lambda folder: (folder / "manifest.json").write_text('{"kind": "torch"}'), "without a seal"),
        (lambda folder: change_manifest(folder, "torch", "onnx"), "manifest.json: changed since"),
        (lambda folder: change_manifest(folder, r"\u00b7", r"\u00B7"), "manifest.json: changed since"),
        (lambda folder: change_manifest(folder, "seal", "seat"), "manifest.json: without a seal"),
        (
            lambda folder: swap_with_another(folder),
            "manifest.json: it belongs to artifacts/other, expected artifacts/k",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_entry_is_set_aside_and_made_again(tmp_path: Path, damage: Any, message: str) -> None:
    store = Store(tmp_path / "s")
    folder = store.make("artifacts", "k", fill).folder
    damage(folder)
    names = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(Damaged, match=re.escape(message)):
        check_entry(folder, "artifacts/k")
    assert store.find("artifacts", "k") is None
    with pytest.warns(DamagedEntry, match=rf"artifacts/k is damaged \(.*{re.escape(message)}") as warned:
        assert not store.make("artifacts", "k", fill).from_store
    assert (folder / "inner/a.txt").read_text() == "abc"
    assert store.make("artifacts", "k", fill).from_store
    [aside] = (tmp_path / "s/damaged").iterdir()
    assert aside.name in str(warned[0].message)
    assert sorted(path.name for path in aside.rglob("*")) == names
    assert list((tmp_path / "s/tmp").iterdir()) == []


def change_manifest(folder: Path, old: str, new: str) -> None:
    text = (folder / "manifest.json").read_text()
    assert old in text
    (folder / "manifest.json").write_text(text.replace(old, new, 1))


def swap_with_another(folder: Path) -> None:
    other = Store(folder.parents[1]).make("artifacts", "other", fill).folder
    for source, target in ((folder, "aside"), (other, folder.name), (folder.with_name("aside"), "other")):
        source.rename(source.with_name(target))


def test_an_entry_that_is_read_again_is_seen_to_change(tmp_path: Path) -> None:
    """Also where size and times are those of before: what was read once is looked at again."""
    store = Store(tmp_path / "s")
    file = store.make("artifacts", "k", fill).folder / "inner/a.txt"
    assert store.find("artifacts", "k") is not None
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    file.write_text("abd")
    os.utime(file, ns=times)
    assert store.find("artifacts", "k") is None


def test_a_link_is_not_taken_into_an_entry(tmp_path: Path) -> None:
    def linking(folder: Path) -> dict[str, Any]:
        (folder / "a.txt").symlink_to("/etc/hostname")
        return {}

    with pytest.raises(BuildError, match=r"artifacts/k: a\.txt: a link, or no plain file; an entry"):
        Store(tmp_path / "s").make("artifacts", "k", linking)
    assert list((tmp_path / "s/tmp").iterdir()) == []


def test_a_file_of_the_manifests_name_is_refused(tmp_path: Path) -> None:
    """It would be overwritten, and the entry would be damaged from the start."""

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "manifest.json").write_text("{}", "utf-8")
        return {}

    with pytest.raises(BuildError, match=r"artifacts/a: a file manifest\.json was written, but the store"):
        Store(tmp_path).make("artifacts", "a", fill)
    assert not (tmp_path / "artifacts" / "a").exists()


def test_a_file_in_the_place_of_an_entry_is_set_aside(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    (tmp_path / "s/artifacts").mkdir()
    (tmp_path / "s/artifacts/k").write_text("x")
    with pytest.warns(DamagedEntry, match="Not a directory"):
        assert not store.make("artifacts", "k", fill).from_store
    (tmp_path / "s/tmp/artifacts-k-1").write_text("x")
    Store(tmp_path / "s")
    assert list((tmp_path / "s/tmp").iterdir()) == []


def test_rebuild_makes_each_entry_once_more_and_then_keeps_it(tmp_path: Path) -> None:
    Store(tmp_path / "s").make("artifacts", "k", fill)
    rebuilding = Store(tmp_path / "s", rebuild=format_now("microseconds"))
    assert rebuilding.find("artifacts", "k") is None
    assert not rebuilding.make("artifacts", "k", fill).from_store
    assert rebuilding.make("artifacts", "k", fill).from_store
    assert Store(tmp_path / "s").make("artifacts", "k", fill).from_store


@pytest.mark.parametrize("mark", ["2999-01-01", "1970-01-01"], ids=["was ahead", "was behind"])
def test_a_rebuild_makes_each_entry_once_by_any_clock(tmp_path: Path, mark: str) -> None:
    """Workers share the mark: what one of them has made is not made again by the next."""
    Store(tmp_path / "s").make("artifacts", "k", fill)
    entries = [Store(tmp_path / "s", rebuild=mark).make("artifacts", "k", fill) for _ in range(2)]
    assert [entry.from_store for entry in entries] == [False, True]


def test_a_rebuild_that_fails_leaves_the_old_entry(tmp_path: Path) -> None:
    Store(tmp_path / "s").make("artifacts", "k", fill)

    def broken(_folder: Path) -> dict[str, Any]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        Store(tmp_path / "s", rebuild=format_now("microseconds")).make("artifacts", "k", broken)
    assert Store(tmp_path / "s").find("artifacts", "k") is not None


def test_a_root_without_permission_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BuildError) as caught:
        Store(tmp_path / "file" / "store")
    assert str(caught.value).startswith(f"store {tmp_path / 'file' / 'store'}: cannot be written (")
    assert str(caught.value).endswith("; name another by --slimgate-store DIR")
    assert "\n" not in str(caught.value)


def test_what_another_machine_left_is_removed_after_a_day(tmp_path: Path) -> None:
    """Its lock is free, but locks may not reach from there to here."""
    Store(tmp_path / "s")
    left = [tmp_path / "s/tmp" / f"artifacts-k-{number}.0a1b2c3d.elsewhere" for number in (1, 2)]
    for folder in left:
        folder.mkdir()
    os.utime(left[0], (0, 0))
    Store(tmp_path / "s").make("artifacts", "k", fill)
    assert list((tmp_path / "s/tmp").iterdir()) == left[1:]


def test_where_locks_do_not_reach_the_first_to_be_done_wins(tmp_path: Path) -> None:
    """Another machine publishes the same entry while this one still makes it."""
    store = Store(tmp_path / "s")

    def slower(folder: Path) -> dict[str, Any]:
        shutil.copytree(published, store.root / "artifacts/k")
        return fill(folder)

    published = Store(tmp_path / "t").make("artifacts", "k", fill).folder
    assert store.make("artifacts", "k", slower).from_store
    assert list((tmp_path / "s/tmp").iterdir()) == []


def test_a_lock_file_that_a_dead_process_left_locks_nobody_out(tmp_path: Path) -> None:
    process = start_maker(tmp_path / "s", 60)
    wait_for(tmp_path / "filling")
    process.kill()
    process.communicate()
    assert (tmp_path / "s/locks/artifacts-k.lock").is_file()
    assert not Store(tmp_path / "s").make("artifacts", "k", fill).from_store


def test_the_store_keeps_itself_out_of_git(tmp_path: Path) -> None:
    Store(tmp_path / "s")
    assert (tmp_path / "s" / ".gitignore").read_text() == "*\n"


def test_the_manifest_says_its_key_and_when_it_was_made(tmp_path: Path) -> None:
    folder = Store(tmp_path / "s").make("artifacts", "k", fill).folder
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest["key"] == "k"
    assert manifest["created"].endswith("+00:00")


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    root = tmp_path / "s"
    process = start_maker(root, 60)
    wait_for(tmp_path / "filling")
    Store(root)
    assert len(list((root / "tmp").iterdir())) == 1  # it is at work
    process.kill()
    process.communicate()
    Store(root)
    assert list((root / "tmp").iterdir()) == []


def test_scratch_space_is_in_the_store_and_goes_with_its_entry(tmp_path: Path) -> None:
    def using_scratch(folder: Path) -> dict[str, Any]:
        with make_scratch_folder(folder) as scratch:
            (scratch / "cache.bin").write_text("x")
            assert scratch.parent == tmp_path / "s" / "tmp"
            return fill(folder)

    store = Store(tmp_path / "s")
    assert list_files(store.make("artifacts", "k", using_scratch).folder) == ["inner/a.txt"]
    assert list((tmp_path / "s" / "tmp").iterdir()) == []
