"""Rows of a data set of the hub, or of a folder in the hub's layout (README.md with configs, data files).

    { name = "hub", id = "nyu-mll/glue", config = "qqp", revision = "…" }
    { name = "hub", id = "./pairs", splits = { train = "train", gate = "test" } }

Without `splits`: train is the hub's train, gate its validation, else its test, where that is labelled; a gate
that the hub has not is cut from train. A column of class labels holds the classes' numbers ("0", "1"), as
ready-made models name their outputs; `[task] labels` says the order of other names.

Without `revision` rows are of the commit that the local cache has of the main branch, and of the newest one
where it has none. What is cached needs no network. No code of a repository is ever run.
"""

from __future__ import annotations

import importlib
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from slimgate._system.digests import folder_digest, json_digest
from slimgate.data.arrow import find_duplicates
from slimgate.data.parts import strings
from slimgate.errors import DataError, SuiteError, format_suggestion
from slimgate.plugins.params import Table, suite_path
from slimgate.plugins.source import Source

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder, DatasetDict

NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
COMMIT = re.compile(r"^[0-9a-f]{40}$")
# The hub's split that a part is taken from where the suite says nothing, the first that there is.
DEFAULTS = {"train": ("train",), "gate": ("validation", "test")}


def _folder_or_name(value: object) -> Any:
    """A folder, made absolute from the one of the suite file; else the name as it is."""
    if not isinstance(value, str):
        return value
    folder = suite_path(getattr(value, "base", Path.cwd()), value, home=True)
    if value.startswith((".", "/", "~")) or folder.is_dir():
        return str(folder)
    if not NAME.match(value):
        raise PydanticCustomError(
            "hub", 'expected a name of the hub, such as "nyu-mll/glue", or a folder, such as "./pairs"'
        )
    return value


class PartNames(Table):
    train: str | None = None
    """The hub's split that train is taken from."""
    calibration: str | None = None
    """The hub's split that calibration is taken from."""
    selection: str | None = None
    """The hub's split that selection is taken from."""
    gate: str | None = None
    """The hub's split that gate is taken from."""
    confirm: str | None = None
    """The hub's split that confirm is taken from."""


class Params(Table):
    id: Annotated[str, BeforeValidator(_folder_or_name)]
    """Name of the data set on the hub, or a folder in its layout."""
    config: str | None = None
    """Configuration of the data set, if it has several."""
    revision: str | None = None
    """Commit, tag or branch; default: the commit of main in the local cache, else the newest one."""
    splits: PartNames | None = None
    """The hub's split of each part; default: train, and validation or test as the gate."""
    real: bool = True
    """false: the rows were made up, and reports say so."""

    @property
    def folder(self) -> Path | None:
        """The local folder; None for a data set of the hub."""
        return Path(self.id) if Path(self.id).is_absolute() else None

    @property
    def shown(self) -> str:
        """How messages name it."""
        config = f" ({self.config})" if self.config else ""
        return self.id + config + (f" at {self.revision}" if self.revision else "")


class Hub(Source[Params]):
    def columns(self, params: Params) -> tuple[str, ...] | None:
        """None: only `read` can tell. Raises SuiteError for a folder that is not there."""
        if params.folder is not None and not params.folder.is_dir():
            raise SuiteError(f"{params.folder}: no such folder")
        if params.folder is not None and params.revision is not None:
            raise SuiteError(f"revision = {params.revision} came, but a folder has none")
        return None

    def parts(self, params: Params) -> tuple[str, ...]:
        """Those that the suite names; without `splits` those that a data set usually has."""
        return tuple(_split_names(params) or DEFAULTS)

    def is_real(self, params: Params) -> bool:
        """What the suite says; true where it says nothing."""
        return params.real

    def digest(self, params: Params) -> str:
        """Of a folder its files' bytes; of the hub the commit, or the stated names before it is known."""
        chosen = {"config": params.config, "splits": _split_names(params)}
        if params.folder is not None:
            return json_digest({"files": folder_digest(params.folder, _files(params.folder)), **chosen})
        return json_digest(
            {
                "id": params.id,
                "commit": cached_commit(params) or _newest_commit(params) or params.revision,
                **chosen,
            }
        )

    def read(self, params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
        """The rows of every part. Raises DataError where they are neither cached nor can be downloaded."""
        with _quiet(), _explain_errors(params):
            splits = _load(params, scratch)
            chosen = _choose_splits(params, splits)
            tables = {
                part: splits[name].data.table.replace_schema_metadata() for part, name in chosen.items()
            }
        # A column `id` that numbers each split from 0 names no row of the whole: it becomes `hub_id`.
        ids = [table["id"] for table in tables.values() if "id" in table.column_names]
        if not any(column.null_count for column in ids) and not _has_repeats(ids):
            return tables
        return {
            part: table.rename_columns(["hub_id" if name == "id" else name for name in table.column_names])
            for part, table in tables.items()
        }


source = Hub()


def cached_commit(params: Params) -> str | None:
    """The commit that the local cache of the hub has for the revision; None where it has none."""
    from huggingface_hub import constants

    revision = params.revision or "main"
    if COMMIT.match(revision):
        return revision
    repository = Path(constants.HF_HUB_CACHE) / f"datasets--{params.id.replace('/', '--')}"
    ref = repository / "refs" / revision
    return ref.read_text("utf-8").strip() if ref.is_file() else None


def _newest_commit(params: Params) -> str | None:
    """The commit that the hub has for the revision; None where it cannot be asked."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    try:
        return HfApi().dataset_info(params.id, revision=params.revision, timeout=10).sha
    except Exception:  # whatever it is, reading the rows will meet and tell it
        return None


def _split_names(params: Params) -> dict[str, str]:
    return params.splits.model_dump(exclude_none=True) if params.splits is not None else {}


def _files(folder: Path) -> list[str]:
    """Every file of a data set's folder, without those of git and other hidden ones."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def _load(params: Params, scratch: Path) -> Any:
    """The prepared data set: split name -> rows."""
    import datasets

    commit = cached_commit(params) if params.folder is None else None
    builder = datasets.load_dataset_builder(
        params.id,
        params.config,
        revision=commit or params.revision,
        # a folder may change under its name, so what datasets makes of it is not kept
        cache_dir=str(scratch) if params.folder is not None else None,
    )
    _check_commit(params, commit, builder)
    builder.download_and_prepare()
    return builder.as_dataset()


def _check_commit(params: Params, commit: str | None, builder: DatasetBuilder) -> None:
    """Without a network datasets takes the newest rows of its cache, whatever revision was asked for."""
    from datasets.packaged_modules.cache.cache import Cache

    stated = params.revision or commit
    if stated is not None and isinstance(builder, Cache) and builder.hash != commit:
        raise DataError(
            f"{params.shown}: {_format_not_cached(params)} (what it holds is of commit {builder.hash})"
        )


def _choose_splits(params: Params, splits: DatasetDict) -> dict[str, str]:
    """Part -> the hub's split."""
    for part, name in _split_names(params).items():
        if name not in splits:
            raise DataError(
                f'{params.shown}: splits.{part} = "{name}": no such split{format_suggestion(name, splits)}'
            )
    usual = {
        part: next((name for name in names if name in splits and _has_labels(splits[name])), None)
        for part, names in DEFAULTS.items()
    }
    chosen = _split_names(params) or {part: name for part, name in usual.items() if name is not None}
    if not chosen:
        raise DataError(
            f"{params.shown} has splits {', '.join(splits)}; say which is which by "
            'splits = { train = "…", gate = "…" }'
        )
    return chosen


def _has_labels(rows: Dataset) -> bool:
    """False where a column of class labels is -1 throughout: so the hub writes that labels are withheld."""
    import datasets
    import pyarrow.compute as pc

    labels = [name for name, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)]
    table = rows.data.table
    return not any(pc.all(pc.less(table[name], 0)).as_py() for name in labels if len(table))


def _has_repeats(columns: list[pa.ChunkedArray]) -> bool:
    kinds = {column.type for column in columns}
    if len(kinds) == 1 and (pa.types.is_string(*kinds) or pa.types.is_integer(*kinds)):
        return find_duplicates([strings(column, "column id") for column in columns])[0] > 0
    values = [value for column in columns for value in column.to_pylist()]
    return len(set(values)) < len(values)


def _format_not_cached(params: Params) -> str:
    return (
        "not in the local cache of the hub, and the hub cannot be reached; download it once with "
        f"datasets.load_dataset({_arguments(params)}), or use files"
    )


def _arguments(params: Params) -> str:
    stated = [params.id, *([params.config] if params.config else [])]
    revision = [f'revision="{params.revision}"'] if params.revision else []
    return ", ".join([*(f'"{text}"' for text in stated), *revision])


@contextmanager
def _explain_errors(params: Params) -> Iterator[None]:
    """What datasets and the hub raise, as one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # a reader of data files may raise anything; the cause stays chained
        if _unreachable(error):
            raise DataError(f"{params.shown}: {_format_not_cached(params)}") from error
        message = " ".join(str(error.__cause__ or error).split()) or "no message"
        raise DataError(f"{params.shown}: cannot be read: {type(error).__name__}: {message}") from error


def _unreachable(error: BaseException | None) -> bool:
    """Whether the network was what failed: clients wrap the system's error in ones of their own."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars and notices of datasets and of the hub."""
    import datasets

    hub: Any = importlib.import_module("huggingface_hub.utils")
    level = datasets.logging.get_verbosity()
    bars, hub_bars = datasets.are_progress_bars_disabled(), hub.are_progress_bars_disabled()
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()
        if not hub_bars:
            hub.enable_progress_bars()
