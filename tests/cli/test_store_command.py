"""`slimgate store ls | verify | prune`: what is told, what is removed, and what never is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Command
from support.sample_record import change_variant, make_sample_record

from slimgate.errors import DataError
from slimgate.record.run import format_record_json
from slimgate.store.holds import list_used_entries, note_use, read_last_use
from slimgate.store.prune import parse_size
from slimgate.store.store import DamagedEntry, Store

DAY = 24 * 60 * 60
MEGABYTE = 1024**2


@pytest.fixture
def command(tmp_path: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `slimgate store` on tmp_path/s."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run_command("store", *arguments, "--store", tmp_path / "s")


def make_entry(root: Path, kind: str, key: str, *, days: float, size: int = MEGABYTE, **facts: Any) -> Path:
    """An entry that a process, which has ended, used so many days ago."""
    code = f"""
import os, sys
from pathlib import Path
from slimgate.store.store import Store
def fill(folder):
    (folder / "a.bin").write_bytes(bytes({size}))
    return {facts!r}
Store(Path({str(root)!r})).make({kind!r}, {key!r}, fill)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    used(root, f"{kind}-{key}", days)
    return root / kind / key


def used(root: Path, name: str, days: float) -> None:
    os.utime(root / "used" / name, (time.time() - days * DAY,) * 2)


@pytest.fixture(scope="module")
def built_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that no test changes: four processes wrote it, for a second."""
    root = tmp_path_factory.mktemp("built") / "s"
    make_entry(
        root, "artifacts", "parent", days=5, digest="d0", step="fine_tune", label="teacher · step 2 of 2"
    )
    make_entry(root, "artifacts", "child", days=1, digest="d1", step="prune", label="student", parents=["d0"])
    make_entry(root, "outcomes", "answers", days=3, artifact="d1", rows=60)
    make_entry(root, "splits", "rows", days=4, source="files", rows={"train": 60, "gate": 30})
    return root


@pytest.fixture
def store(built_store: Path, tmp_path: Path) -> Path:
    """A variant, what it was built from, their outcomes, splits; the variant was used last."""
    return shutil.copytree(built_store, tmp_path / "s")


def names(root: Path) -> set[str]:
    return {path.parent.name for path in root.glob("*/*/manifest.json")}


def test_ls_shows_content_size_and_last_use_of_each_entry(command: Command, store: Path) -> None:
    os.utime(store / "used/artifacts-child", (1_700_000_000,) * 2)
    code, out, _ = command("ls")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert lines[0] == "kind key of size last use (UTC)"
    assert lines[2] == "artifacts child student: prune 1.0 MB 2023-11-14 22:13"
    assert lines[3].startswith("artifacts parent teacher · step 2 of 2: fine_tune 1.0 MB ")
    assert lines[4].startswith("outcomes answers 60 rows, student: prune 1.0 MB ")
    assert lines[5].startswith("splits rows files: 30 gate, 60 train 1.0 MB ")
    assert lines[6] == "4 entries, 4.0 MB"


def test_finding_an_entry_is_a_use_of_it(store: Path) -> None:
    before = read_last_use(store, "artifacts/parent")
    assert before is not None
    assert Store(store).find("artifacts", "parent") is not None
    assert (read_last_use(store, "artifacts/parent") or 0) > before + 4 * DAY


def test_verify_names_what_is_damaged(command: Command, store: Path) -> None:
    assert command("verify") == (0, "4 entries, 4.0 MB: none damaged\n", "")
    (store / "artifacts/child/a.bin").write_bytes(bytes(MEGABYTE - 1) + b"\1")
    (store / "splits/rows/manifest.json").unlink()
    code, out, _ = command("verify")
    assert code == 1
    child, rows, last = out.splitlines()
    assert child.startswith(f"{store}/artifacts/child: a.bin: sha256 ")
    assert rows == f"{store}/splits/rows: manifest.json: missing"
    assert last.endswith(": 2 damaged")


def test_prune_removes_the_oldest_until_the_rest_fits(command: Command, store: Path) -> None:
    code, out, _ = command("prune", "--max-size", "2.5MB", "--dry-run")
    assert code == 0
    assert out.splitlines()[-1] == "2 entries, 2.0 MB, would be removed; left: 2 entries, 2.0 MB"
    assert len(names(store)) == 4
    code, out, _ = command("prune", "--max-size", "2.5MB")
    assert code == 0
    assert out.splitlines()[-1] == "2 entries, 2.0 MB, removed; left: 2 entries, 2.0 MB"
    assert names(store) == {"answers", "child"}
    assert read_last_use(store, "artifacts/parent") is None
    assert list((store / "tmp").iterdir()) == []
    assert (
        command("prune", "--max-size", "2.5MB")[1] == "0 entries, 0.0 MB, removed; left: 2 entries, 2.0 MB\n"
    )


def test_prune_removes_what_was_not_used_for_so_many_days(command: Command, store: Path) -> None:
    assert command("prune", "--older-than", "3.5")[0] == 0
    assert names(store) == {"answers", "child"}


def test_a_clock_that_was_set_back_makes_nothing_old(command: Command, store: Path) -> None:
    used(store, "artifacts-parent", -300)
    assert command("prune", "--older-than", "2")[0] == 0
    assert names(store) == {"parent", "child"}
    note_use(store, "artifacts/parent")
    assert abs((read_last_use(store, "artifacts/parent") or 0) - time.time()) < 60


def write_baseline(store: Path) -> Path:
    """A baseline next to the store, which refers to the entry d1."""
    record = make_sample_record()
    artifact = record.variant("student").artifact
    assert artifact is not None
    changed = change_variant(record, "student", artifact=artifact.model_copy(update={"digest": "d1"}))
    file = store.parent / "reports/baselines/v1/x/run.json"
    file.parent.mkdir(parents=True)
    file.write_text(format_record_json(changed))
    return file


def test_entries_of_a_baseline_stay_with_their_parents(command: Command, store: Path) -> None:
    file = write_baseline(store)
    code, out, _ = command("prune", "--max-size", "0", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "1 entry, 1.0 MB, would be removed; left: 3 entries, 3.0 MB")
    elsewhere = store.parent / "elsewhere"
    file.parent.rename(elsewhere)
    for path in (elsewhere, elsewhere / "run.json", store.parent):
        assert command("prune", "--max-size", "0", "--dry-run", "--keep", str(path))[1] == out
    assert "3 entries, 3.0 MB, stay: a baseline refers to it" in out
    assert command("prune", "--max-size", "0")[0] == 0
    assert names(store) == set()


def test_baselines_next_to_the_store_count_in_every_folder(
    command: Command, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a nightly job: cd / && slimgate store prune --store /srv/repository/.slimgate."""
    write_baseline(store)
    (store.parent / "jobs").mkdir()
    monkeypatch.chdir(store.parent / "jobs")
    out = command("prune", "--max-size", "0")[1]
    assert "3 entries, 3.0 MB, stay: a baseline refers to it" in out


def test_splits_of_a_baseline_stay(command: Command, tmp_path: Path) -> None:
    record = make_sample_record()
    digest = record.task.splits["gate"].digest
    folder = Path("rows")

    def fill(target: Path) -> dict[str, Any]:
        (target / "splits.json").write_text(f'{{"splits": {{"gate": {{"digest": "{digest}"}}}}}}')
        return {"source": "files", "rows": {"gate": 1}}

    Store(tmp_path / "t").make("splits", folder.name, fill)
    Store(tmp_path / "s")
    (tmp_path / "t/splits").rename(tmp_path / "s/splits")
    (tmp_path / "run.json").write_text(format_record_json(record))
    assert "1 entry" in command("prune", "--max-size", "0", "--keep", "run.json")[1]
    assert names(tmp_path / "s") == {"rows"}


def test_an_unreadable_baseline_stops_a_prune_at_the_start(command: Command, store: Path) -> None:
    (store.parent / "run.json").write_text("{}")
    code, _, error = command("prune", "--max-size", "0", "--keep", "run.json")
    assert code == 4
    assert error.startswith("slimgate store: run.json: not a run record")
    assert len(names(store)) == 4


USER = """
import sys, time
from pathlib import Path
from slimgate.store.store import Store
assert Store(Path(sys.argv[1])).find("artifacts", "parent") is not None
print("found", flush=True)
time.sleep(60)
"""


def test_what_a_running_process_uses_stays_until_it_ends_or_dies(command: Command, store: Path) -> None:
    user = subprocess.Popen([sys.executable, "-c", USER, str(store)], stdout=subprocess.PIPE, text=True)
    assert user.stdout is not None
    assert user.stdout.readline() == "found\n"
    try:
        out = command("prune", "--max-size", "0")[1]
        assert "1 entry, 1.0 MB, stay: a running process uses it" in out
        assert names(store) == {"parent"}
        assert list_used_entries(store) == {"artifacts/parent"}
    finally:
        user.kill()
        user.communicate()
    assert command("prune", "--max-size", "0")[0] == 0
    assert names(store) == set()
    assert list((store / "holds").iterdir()) == []
    assert list_used_entries(store) == frozenset()


def test_a_process_that_ends_leaves_no_hold(store: Path) -> None:
    assert list((store / "holds").iterdir()) == []


def test_what_was_set_aside_is_listed_and_pruned(command: Command, store: Path) -> None:
    (store / "artifacts/child/a.bin").unlink()
    with pytest.warns(DamagedEntry):
        Store(store).make("artifacts", "child", lambda _: {"digest": "d1"})
    assert "damaged" in command("ls")[1]
    assert command("verify")[1].endswith("4 entries, 3.0 MB: none damaged; 1 set aside before\n")
    [aside] = (store / "damaged").iterdir()
    used(store, f"damaged-{aside.name}", 9)
    command("prune", "--older-than", "8")
    assert list((store / "damaged").iterdir()) == []
    assert not list((store / "locks").glob("damaged-*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], "prune: expected --max-size SIZE, --older-than DAYS, or both"),
        (["ls", "--dry-run"], "--dry-run is only for prune, not for ls"),
        (["ls", "--older-than", "0"], "--older-than is only for prune, not for ls"),
        (["verify", "--max-size", "5GB"], "--max-size is only for prune, not for verify"),
        (["prune", "--max-size", "big"], '--max-size "big": expected a size such as 5GB, 500MB or 4096'),
        (["prune", "--older-than", "-1"], "--older-than -1.0: expected days, 0 or more"),
        (["prune", "--older-than", "nan"], "--older-than nan: expected days, 0 or more"),
        (["prune", "--max-size", "1", "--keep", "no.json"], "no.json: no such file, expected a run.json or"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line(
    command: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    Store(tmp_path / "s")
    code, out, error = command(*arguments)
    assert (code, out, error.count("\n")) == (4, "", 1)
    assert error.startswith(f"slimgate store: {message}")


@pytest.mark.parametrize("action", ["ls", "verify", "prune"])
def test_a_folder_that_is_no_store_is_left_alone(command: Command, tmp_path: Path, action: str) -> None:
    (tmp_path / "s/letters/old").mkdir(parents=True)
    code, _, error = command(action, *(["--max-size", "0"] if action == "prune" else []))
    assert code == 4
    assert "there is no store, expected a folder that slimgate made" in error
    assert [path.name for path in (tmp_path / "s").rglob("*")] == ["letters", "old"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("5GB", 5 * 2**30),
        ("1.5 GiB", 3 * 2**29),
        ("500mb", 500 * 2**20),
        ("7k", 7168),
        ("0", 0),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "inf", "nan", "5XB", "1e400", "5I", "1_000", "٣"])
def test_a_wrong_size_is_reported(text: str) -> None:
    with pytest.raises(DataError, match="expected a size"):
        parse_size(text)
