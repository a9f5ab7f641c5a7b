"""Seals entries of a store with a manifest: the sha256 of every file, the entry's name, and its own digest.

    manifest = seal(folder, "artifacts/KEY", facts)     # writes manifest.json
    manifest = check_entry(folder, "artifacts/KEY")      # raises Damaged, which says what is wrong

`check_entry` detects a file that is cut, changed, swapped, missing or added, and a manifest that was
changed or belongs to another entry. A process reads the files of an entry once, and again if one of them has
changed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from slimgate._system.digests import file_sha256
from slimgate.errors import BuildError
from slimgate.plugins.base import Json

Files = dict[str, os.stat_result]
MANIFEST = "manifest.json"
# The error numbers of a file that is gone, that a disk cannot read, or that a network share has lost.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EIO, errno.ESTALE)
# Folder of an entry -> the signatures of its files when this process last checked their contents.
_CHECKED_SIGNATURES: dict[Path, dict[str, tuple[int, ...]]] = {}


class Damaged(Exception):
    """An entry differs from what was sealed. The message says how, without the folder."""


def seal(folder: Path, name: str, facts: Mapping[str, object]) -> Json:
    """Writes the manifest of a folder into it, and returns it. name: of the entry. facts: further contents.

    Raises BuildError for a link or anything else that is not a plain file, and for a file of the manifest's
    name. Raises TypeError for facts that are not JSON.
    """
    try:
        files = _list_plain_files(folder)
    except Damaged as error:
        raise BuildError(f"{name}: {error}; an entry of the store may only contain plain files") from error
    if MANIFEST in files:
        raise BuildError(
            f"{name}: a file {MANIFEST} was written, but the store writes its own file of this name; use "
            "another name, or a folder"
        )
    digests = {path: file_sha256(folder / path) for path in files}
    sizes = {path: status.st_size for path, status in files.items()}
    # The facts go through JSON and back, so that the digest is that of the facts as they will be read.
    manifest: Json = json.loads(json.dumps({**facts, "entry": name, "sizes": sizes, "sha256": digests}))
    manifest["seal"] = _compute_seal(manifest)
    (folder / MANIFEST).write_text(_format_manifest(manifest), "utf-8")
    return manifest


def read_manifest(folder: Path, name: str) -> Json:
    """The manifest of an entry, without a check of its files. Raises Damaged if it is wrong."""
    with _detect_damage(MANIFEST):
        text = (folder / MANIFEST).read_text("utf-8")
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{MANIFEST}: not JSON") from error
    if not isinstance(manifest, dict) or "seal" not in manifest:
        raise Damaged(f"{MANIFEST}: without a seal, as of an earlier slimgate")
    if manifest["seal"] != _compute_seal(manifest) or text != _format_manifest(manifest):
        raise Damaged(f"{MANIFEST}: changed since it was written")
    if manifest["entry"] != name:
        raise Damaged(f"{MANIFEST}: it belongs to {manifest['entry']}, expected {name}")
    return manifest


def check_entry(folder: Path, name: str) -> Json:
    """The manifest of an entry. Raises Damaged unless every file is as it was sealed."""
    manifest = read_manifest(folder, name)
    with _detect_damage("the folder"):
        files = _list_plain_files(folder)
    # a signature changes if the file is written or replaced, or if its times are set
    signatures: dict[str, tuple[int, ...]] = {
        path: (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for path, status in files.items()
    }
    files.pop(MANIFEST, None)
    if _CHECKED_SIGNATURES.get(folder) != signatures:
        _check_files(folder, files, manifest)
        _CHECKED_SIGNATURES[folder] = signatures
    return manifest


def _check_files(folder: Path, files: Files, manifest: Json) -> None:
    """Raises Damaged if a file is missing, added, or differs from the manifest in size or contents."""
    digests: dict[str, str] = manifest["sha256"]
    for path in sorted(files.keys() | digests.keys()):
        if path not in files:
            raise Damaged(f"{path}: missing")
        if path not in digests:
            raise Damaged(f"{path}: not one of its files")
        size = manifest["sizes"][path]
        if files[path].st_size != size:
            raise Damaged(f"{path}: {files[path].st_size:,} bytes, expected {size:,}")
        with _detect_damage(path):
            digest = file_sha256(folder / path)
        if digest != digests[path]:
            raise Damaged(f"{path}: sha256 {digest[:12]}…, expected {digests[path][:12]}…")


def _format_manifest(manifest: Json) -> str:
    return json.dumps(manifest, indent=1, sort_keys=True)


def _compute_seal(manifest: Json) -> str:
    unsealed = {key: value for key, value in manifest.items() if key != "seal"}
    return hashlib.sha256(json.dumps(unsealed, sort_keys=True).encode()).hexdigest()


def _list_plain_files(folder: Path) -> Files:
    """Every file below a folder by its relative name. Raises Damaged for a link or a special file."""
    files: Files = {}
    for path in _iter_paths(folder):
        status = path.lstat()
        name = path.relative_to(folder).as_posix()
        if stat.S_ISREG(status.st_mode):
            files[name] = status
        elif not stat.S_ISDIR(status.st_mode):
            raise Damaged(f"{name}: a link, or no plain file")
    return dict(sorted(files.items()))


def _iter_paths(folder: Path) -> Iterator[Path]:
    """All files and folders below a folder. It follows no links, and raises OSError, unlike `Path.rglob`."""
    with os.scandir(folder) as scanned:
        entries = list(scanned)
    for entry in entries:
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _iter_paths(Path(entry.path))


@contextmanager
def _detect_damage(path: str) -> Iterator[None]:
    """Turns an OSError into Damaged if its number is in _GONE, and text that is not UTF-8 too.

    A file that this user may not read is not damaged.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise Damaged(f"{path}: not UTF-8") from error
    except OSError as error:
        if error.errno not in _GONE:
            raise
        problem = "missing" if error.errno == errno.ENOENT else error.strerror
        raise Damaged(f"{path}: {problem}") from error
