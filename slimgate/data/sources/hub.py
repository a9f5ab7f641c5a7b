"""Rows of a data set of the hub, or of a folder in the hub's layout (README.md with configs, data files).

    { name = "hub", id = "nyu-mll/glue", config = "qqp", revision = "…" }
    { name = "hub", id = "./pairs", splits = { train = "train", gate = "test" } }

Without `splits`, train is the hub's train, and gate is its validation, or its test, if that has labels. If
the hub has neither, slimgate cuts the gate from train. A column of class labels holds the numbers of the
classes ("0", "1"), like the output names of many ready-made models; `[task] labels` states the order of other
names.

Without `revision`, the rows are those of the commit of main in the local cache, else of the newest commit.
Cached rows need no network. slimgate never runs code of a repository.
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

from slimgate._system.digests import digest_folder, digest_json
from slimgate.data.arrow import find_duplicates
from slimgate.data.parts import convert_to_strings
from slimgate.errors import DataError, SuiteError, format_error, format_suggestion
from slimgate.plugins.params import Table, suite_path
from slimgate.plugins.source import Source

if TYPE_CHECKING:
    from datasets import Dataset, DatasetBuilder, DatasetDict

NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")
COMMIT = re.compile(r"^[0-9a-f]{40}$")
# Part -> the hub's split that it is taken from by default: the first that exists.
DEFAULTS = {"train": ("train",), "gate": ("validation", "test")}


def _resolve_source_folder(value: object) -> Any:
    """An absolute path for a folder, relative to the suite file; a name of the hub stays as it is."""
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
    id: Annotated[str, BeforeValidator(_resolve_source_folder)]
    """Name of the data set on the hub, or a folder in its layout."""
    config: str | None = None
    """Configuration of the data set, if it has several."""
    revision: str | None = None
    """Commit, tag or branch; default: the commit of main in the local cache, else the newest commit."""
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
        """The data set's name in messages."""
        config = f" ({self.config})" if self.config else ""
        return self.id + config + (f" at {self.revision}" if self.revision else "")


class Hub(Source[Params]):
    def columns(self, params: Params) -> tuple[str, ...] | None:
        """None, because only `read` knows the columns.

        Raises SuiteError if a folder is missing or has a revision.
        """
        if params.folder is not None and not params.folder.is_dir():
            raise SuiteError(f"{params.folder}: no such folder")
        if params.folder is not None and params.revision is not None:
            raise SuiteError(
                f"revision = {params.revision} was given, but a folder has no revisions; leave it out"
            )
        return None

    def parts(self, params: Params) -> tuple[str, ...]:
        """The parts in `splits`; without it, train and gate."""
        return tuple(_split_names(params) or DEFAULTS)

    def is_real(self, params: Params) -> bool:
        """Whether the suite says that the rows are real; the default is true."""
        return params.real

    def digest(self, params: Params) -> str:
        """A digest of a folder's files or of the hub's commit; of the stated names if that is unknown."""
        chosen = {"config": params.config, "splits": _split_names(params)}
        if params.folder is not None:
            return digest_json({"files": digest_folder(params.folder, _list_files(params.folder)), **chosen})
        return digest_json(
            {
                "id": params.id,
                "commit": find_cached_commit(params) or _find_newest_commit(params) or params.revision,
                **chosen,
            }
        )

    def read(self, params: Params, *, scratch: Path) -> Mapping[str, pa.Table]:
        """The rows of every part. Raises DataError if they are not cached and cannot be downloaded."""
        with _silence_progress(), _explain_errors(params):
            splits = _load_data_set(params, scratch)
            chosen = _choose_splits(params, splits)
            tables = {
                part: splits[name].data.table.replace_schema_metadata() for part, name in chosen.items()
            }
        # If `id` numbers each split from 0, ids repeat across parts. Then the column is renamed, and slimgate
        # numbers the rows.
        ids = [table["id"] for table in tables.values() if "id" in table.column_names]
        if _can_be_ids(ids):
            return tables
        return {
            part: table.rename_columns(["hub_id" if name == "id" else name for name in table.column_names])
            for part, table in tables.items()
        }


source = Hub()


def find_cached_commit(params: Params) -> str | None:
    """The revision if it is a commit, else the commit that the local cache of the hub has for it, or None."""
    from huggingface_hub import constants

    revision = params.revision or "main"
    if COMMIT.match(revision):
        return revision
    repository = Path(constants.HF_HUB_CACHE) / f"datasets--{params.id.replace('/', '--')}"
    ref = repository / "refs" / revision
    return ref.read_text("utf-8").strip() if ref.is_file() else None


def _find_newest_commit(params: Params) -> str | None:
    """The commit that the hub has for the revision; None if the hub cannot be asked."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    try:
        return HfApi().dataset_info(params.id, revision=params.revision, timeout=10).sha
    except Exception:  # reading the rows will raise the same error, with a message
        return None


def _split_names(params: Params) -> dict[str, str]:
    return params.splits.model_dump(exclude_none=True) if params.splits is not None else {}


def _list_files(folder: Path) -> list[str]:
    """The relative paths of the files of a data set's folder, without hidden ones such as those of git."""
    names = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def _load_data_set(params: Params, scratch: Path) -> Any:
    """The prepared data set: split name -> rows."""
    import datasets

    commit = find_cached_commit(params) if params.folder is None else None
    builder = datasets.load_dataset_builder(
        params.id,
        params.config,
        revision=commit or params.revision,
        # the content of a folder may change, so datasets must not cache it by its name
        cache_dir=str(scratch) if params.folder is not None else None,
    )
    _check_commit(params, commit, builder)
    builder.download_and_prepare()
    return builder.as_dataset()


def _check_commit(params: Params, commit: str | None, builder: DatasetBuilder) -> None:
    """Raises DataError for another revision: without a network, datasets takes the newest in its cache."""
    from datasets.packaged_modules.cache.cache import Cache

    stated = params.revision or commit
    if stated is not None and isinstance(builder, Cache) and builder.hash != commit:
        raise DataError(
            f"{params.shown}: {_format_not_cached(params)} (the cache has the commit {builder.hash})"
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
            f"{params.shown} has splits {', '.join(splits)}; state their roles with splits = {{ train = "
            '"…", gate = "…" }'
        )
    return chosen


def _has_labels(rows: Dataset) -> bool:
    """False if a column of class labels is below 0 in all rows, as where the hub withholds the labels."""
    import datasets
    import pyarrow.compute as pc

    labels = [name for name, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)]
    table = rows.data.table
    return not any(pc.all(pc.less(table[name], 0)).as_py() for name in labels if len(table))


def _can_be_ids(columns: list[pa.ChunkedArray]) -> bool:
    """Whether each row of the columns has a value of its own, which is no list or object."""
    types = {getattr(column.type, "storage_type", column.type) for column in columns}
    if any(column.null_count for column in columns) or any(map(pa.types.is_nested, types)):
        return False
    if len(types) == 1 and (pa.types.is_string(*types) or pa.types.is_integer(*types)):
        return find_duplicates([convert_to_strings(column, "column id") for column in columns])[0] == 0
    values = [value for column in columns for value in column.to_pylist()]
    return len(set(values)) == len(values)


def _format_not_cached(params: Params) -> str:
    return (
        "not in the local cache of the hub, and the hub cannot be reached; download it once with "
        f"datasets.load_dataset({_format_arguments(params)}), or use files"
    )


def _format_arguments(params: Params) -> str:
    stated = [params.id, *([params.config] if params.config else [])]
    revision = [f'revision="{params.revision}"'] if params.revision else []
    return ", ".join([*(f'"{text}"' for text in stated), *revision])


@contextmanager
def _explain_errors(params: Params) -> Iterator[None]:
    """Turns errors of datasets and the hub into a DataError of one line."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # a reader of data files may raise anything; the cause stays chained
        if _is_unreachable(error):
            raise DataError(f"{params.shown}: {_format_not_cached(params)}") from error
        raise DataError(
            f"{params.shown}: cannot be read: {format_error(error.__cause__ or error)}"
        ) from error


def _is_unreachable(error: BaseException | None) -> bool:
    """Whether the network failed. Clients wrap the error of the system in their own errors."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _silence_progress() -> Iterator[None]:
    """Switches off the progress bars and notices of datasets and of the hub."""
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
