"""The layout of EvalScope and OpenCompass: the folder of a run has files NAME/MODEL/FILE."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from slimgate.errors import DataError


def list_files_of_models(path: Path, name: str, suffix: str) -> list[Path]:
    """The files `NAME/MODEL/*SUFFIX` below a folder, which may be `NAME` or `NAME/MODEL` itself; sorted."""
    files = {*path.glob(f"**/{name}/*/*{suffix}")}
    files |= {*path.glob(f"*/*{suffix}")} if path.name == name else set()
    files |= {*path.glob(f"*{suffix}")} if path.parent.name == name else set()
    return sorted(files)


def group_by_run(path: Path, name: str, files: Iterable[Path]) -> dict[Path, list[Path]]:
    """The files of one model by the folder of their run. Raises DataError for files of several models."""
    by_run: dict[Path, list[Path]] = {}
    models: set[str] = set()
    for file in files:
        by_run.setdefault(file.parent.parent.parent, []).append(file)
        models.add(file.parent.name)
    if len(models) > 1:
        raise DataError(
            f"{path}: {name} of {len(models)} models ({', '.join(sorted(models)[:3])}); give the folder "
            f"{name}/MODEL of one model"
        )
    return by_run
