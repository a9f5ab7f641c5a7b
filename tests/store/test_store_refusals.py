"""slimgate.store.store on a disk that is full, read-only, or not one's own: one line, and nothing
half-written.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from slimgate._system.files import allocate_space
from slimgate.errors import BuildError
from slimgate.store.store import Store

MEGABYTE = 1024**2
Fill = Callable[[Path], dict[str, Any]]


def of_size(size: int) -> Fill:
    """Fills an entry with a file of so many bytes."""

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "a.bin").write_bytes(bytes(size))
        return {}

    return fill


def by_safetensors(folder: Path) -> dict[str, Any]:
    """Whose error is none of Python's own: it says in words that the disk is full."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"a": np.zeros(4 * MEGABYTE, np.uint8)}, folder / "a.safetensors")
    return {}


def by_parquet(folder: Path) -> dict[str, Any]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    noise = np.random.default_rng(0).random(MEGABYTE)
    pq.write_table(pa.table({"a": noise}), folder / "a.parquet")
    return {}


def by_memory_map(folder: Path) -> dict[str, Any]:
    """Writing past the room of a disk through a map kills a process, where the room was not asked for."""
    import numpy as np

    file = folder / "a.npy"
    values = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(4 * MEGABYTE,))
    allocate_space(file)
    values[:] = 1
    return {}


def read_refusal(store: Store, fill: Fill) -> str:
    """The one line that a refusal is; nothing of the entry is left."""
    with pytest.raises(BuildError) as caught:
        store.make("artifacts", "k", fill)
    assert "\n" not in str(caught.value)
    assert not (store.root / "artifacts/k").exists()
    assert list((store.root / "tmp").iterdir()) == []
    return str(caught.value)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 2 MB of its own."""
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if done.returncode:
        folder.rmdir()
        pytest.skip("a disk can only be mounted by root")
    yield folder
    subprocess.run(["mount", "-o", "remount,rw", folder], check=False)
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


@pytest.mark.parametrize("fill", [of_size(4 * MEGABYTE), by_safetensors, by_parquet, by_memory_map])
def test_a_full_disk_is_reported_and_what_fits_is_still_made(small_disk: Path, fill: Fill) -> None:
    store = Store(small_disk / "s")
    message = read_refusal(store, fill)
    assert message.startswith(f"store {store.root}: no space is left")
    assert (
        "free some by `slimgate store prune --max-size SIZE`, or name another by --slimgate-store" in message
    )
    assert "artifacts/k was not kept" in message
    assert not store.make("artifacts", "k", of_size(MEGABYTE)).from_store


def fill_up(disk: Path) -> None:
    """Until not a block is left."""
    with suppress(OSError), (disk / "rest").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


def test_a_disk_full_before_anything_is_written_is_reported(small_disk: Path) -> None:
    store = Store(small_disk / "s")
    fill_up(small_disk)
    assert "no space is left" in read_refusal(store, of_size(1))
    assert "no space is left" in read_refusal(Store(small_disk / "s"), of_size(1))


def test_what_an_inner_entry_reported_is_not_repeated(small_disk: Path) -> None:
    """A step keeps what it shares with others while its own entry is made."""
    store = Store(small_disk / "s")

    def outer(_folder: Path) -> dict[str, Any]:
        return store.make("teacher_answers", "inner", of_size(4 * MEGABYTE)).manifest

    message = read_refusal(store, outer)
    assert message.count("no space is left") == 1
    assert "teacher_answers/inner was not kept" in message


def test_a_disk_that_is_read_only_is_reported(small_disk: Path) -> None:
    Store(small_disk / "s")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(BuildError) as caught:
        Store(small_disk / "s").make("artifacts", "k", of_size(1))
    assert str(caught.value) == (
        f"store {small_disk}/s: cannot be written (Read-only file system); "
        "name another by --slimgate-store DIR"
    )


def test_a_limit_on_the_size_of_files_is_reported(tmp_path: Path) -> None:
    code = f"""
import resource, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from pathlib import Path
from test_store_refusals import Store, of_size, read_refusal
print(read_refusal(Store(Path({str(tmp_path / "s")!r})), of_size(200_000)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "no space is left (File too large)" in done.stdout
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


@contextmanager
def as_somebody_else(folder: Path) -> Iterator[None]:
    """Root may write anywhere: a test of what one may not is done as nobody."""
    if os.geteuid():
        yield
        return
    os.chown(folder, 65534, 65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def ours() -> Iterator[Path]:
    """A folder that everybody reaches, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="refusals-"))
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written_is_reported(ours: Path) -> None:
    with as_somebody_else(ours):
        ours.chmod(0o555)
        with pytest.raises(BuildError, match=r"cannot be written \(Permission denied\); name another"):
            Store(ours / "s")
        ours.chmod(0o755)
    assert list(ours.iterdir()) == []


def test_a_kind_without_permission_is_an_early_error(ours: Path) -> None:
    with as_somebody_else(ours):
        store = Store(ours / "s")
        (ours / "s/artifacts").mkdir(mode=0o555)
        assert read_refusal(store, of_size(1)).endswith(
            "cannot be written (Permission denied); name another by --slimgate-store DIR"
        )
        (ours / "s/artifacts").chmod(0o755)


def test_an_entry_that_may_not_be_read_is_not_taken_for_damaged(ours: Path) -> None:
    with as_somebody_else(ours):
        store = Store(ours / "s")
        file = store.make("artifacts", "k", of_size(10)).folder / "a.bin"
        file.chmod(0)
        with pytest.raises(BuildError, match=r"artifacts/k cannot be read \(Permission denied\); make it"):
            store.make("artifacts", "k", of_size(10))
        file.chmod(0o644)
        assert store.make("artifacts", "k", of_size(10)).from_store


def test_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    def broken(_folder: Path) -> dict[str, Any]:
        return {"rows": (tmp_path / "no-rows.csv").read_text()}

    with pytest.raises(FileNotFoundError, match=r"no-rows\.csv"):
        Store(tmp_path / "s").make("artifacts", "k", broken)
