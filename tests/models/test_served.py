"""slimgate.models.served: which files a folder of weights takes along."""

from __future__ import annotations

from pathlib import Path

from slimgate.models.checkpoint import list_checkpoint_files
from slimgate.models.saved_files import DESCRIPTION
from slimgate.models.served import copy_served
from slimgate.store.seal import MANIFEST, check_entry, seal


def test_what_the_store_wrote_is_not_copied(tmp_path: Path) -> None:
    """A copied manifest would be overwritten by the next one, which then lists a file that is not there."""
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    for name in ("model.gguf", "config.json", DESCRIPTION):
        (source / name).write_text("{}", "utf-8")
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / MANIFEST).write_text("{}", "utf-8")
    seal(source, "artifacts/a", {})
    assert (source / MANIFEST).exists()
    copy_served(source, target)
    seal(target, "artifacts/b", {})
    files = ["1_Pooling/manifest.json", "config.json", "model.gguf"]
    assert sorted(check_entry(target, "artifacts/b")["sha256"]) == files


def test_a_checkpoint_leaves_the_manifest_behind(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json", MANIFEST, DESCRIPTION):
        (tmp_path / name).write_text("{}", "utf-8")
    names = [path.name for path in list_checkpoint_files(tmp_path, None)]
    assert names == ["model.safetensors", "config.json"]
