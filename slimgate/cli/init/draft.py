"""The content of a suite for a user's model and rows, before it is written as text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from slimgate.cli.init import proposing
from slimgate.cli.init.guessing import Guess, join_texts, make_task_params
from slimgate.cli.init.models import ModelSettings, Readiness, TokenCounts, count_tokens
from slimgate.data.labels import format_label_map
from slimgate.data.parts import SplitColumns, collapse_texts, require_column
from slimgate.data.same_texts import normalize_row
from slimgate.data.sources import files
from slimgate.data.splits import Cut, SplitSizes, cut_splits
from slimgate.errors import DataError
from slimgate.models.config import list_model_labels
from slimgate.plugins.loading import load
from slimgate.plugins.rows import Rows
from slimgate.plugins.task import Task
from slimgate.run.budget_plan import GateGroups, count_groups

Files = tuple[Path, ...]


@dataclass(frozen=True)
class DataFiles:
    """The files of --data, --gate or --by-label.

    data: files with all rows, or the train rows if `gate` has files. by_label: for each label a file with a
    text on each line. split_column: the column of `data` that names the split of each row; splits: for each
    part its values.
    """

    data: Files = ()
    gate: Files = ()
    by_label: Mapping[str, Files] | None = None
    encoding: str = "utf-8"
    quotes: bool = True
    split_column: str | None = None
    splits: Mapping[files.PartName, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.by_label):
            raise DataError(
                "expected --data FILE, with or without --gate FILE, or --by-label NAME=FILE for each label"
            )
        if self.by_label and self.gate:
            raise DataError("--by-label files contain the rows of all splits; leave --gate out")

    @property
    def first(self) -> Path:
        """The file that gives a suite its name."""
        return (self.data or next(iter((self.by_label or {}).values())))[0]

    def make_source(self, folder: Path) -> dict[str, Any]:
        """The value of `[task] source` for a suite in this folder."""
        if self.by_label:
            paths: dict[str, Any] = {
                "by_label": {label: _make_relative(files, folder) for label, files in self.by_label.items()}
            }
        elif self.gate:
            paths = {"train": _make_relative(self.data, folder), "gate": _make_relative(self.gate, folder)}
        else:
            paths = {"path": _make_relative(self.data, folder)}
        if self.split_column is not None:
            paths |= {"split_column": self.split_column, "splits": dict(self.splits)}
        options: dict[str, Any] = {} if self.encoding == "utf-8" else {"encoding": self.encoding}
        if not self.quotes:
            options["quotes"] = False
        return {"name": "files", **paths, **options}

    def read(self) -> Mapping[str, pa.Table]:
        """The rows of each part, not yet divided by a split column.

        Raises SlimgateError for files that are missing or cannot be read.
        """
        source = replace(self, split_column=None, splits={}).make_source(Path("/"))
        del source["name"]
        try:
            params = files.Params.model_validate(_make_absolute(source))
        except ValidationError as error:
            raise DataError("; ".join(problem["msg"] for problem in error.errors())) from None
        files.source.columns(params)  # for a wrong header, its error is clearer than that of `read`
        with TemporaryDirectory(prefix="slimgate-") as scratch:
            return files.source.read(params, scratch=Path(scratch))


def use_split_column(
    data: DataFiles, parts: Mapping[str, pa.Table], stated: Collection[str]
) -> tuple[DataFiles, Mapping[str, pa.Table]]:
    """The files and the rows of each part, by a column that names the split of each row, if there is one.

    A table of a data set often has train and test rows. A gate that is cut from all of them has rows that
    the model was trained on.

    parts: the rows as read. stated: columns for which the user stated another role.
    """
    if tuple(parts) != ("all",) or data.by_label:
        return data, parts
    for name in parts["all"].column_names:
        splits = files.guess_splits(parts["all"][name]) if name not in stated else {}
        if splits:
            divided = files.select_parts(parts["all"], name, splits)
            return replace(data, split_column=name, splits=splits), divided
    return data, parts


def _make_relative(paths: Files, folder: Path) -> str | list[str]:
    """The paths as a suite in `folder` names them: a string for one, a list for several."""
    names = [Path(os.path.relpath(path.absolute(), folder)).as_posix() for path in paths]
    return names[0] if len(names) == 1 else names


def _make_absolute(value: object, key: str = "") -> Any:
    """The options of a source in the folder `/`, with absolute paths. key: the option that holds `value`."""
    if isinstance(value, dict):
        return {name: _make_absolute(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_make_absolute(item, key) for item in value]
    return f"/{value}" if isinstance(value, str) and key != "encoding" else value


def concat_parts(parts: Mapping[str, pa.Table]) -> pa.Table:
    """The rows of all parts in one table. A column that a part lacks is null for its rows."""
    return pa.concat_tables(parts.values(), promote_options="permissive")


@dataclass(frozen=True)
class Draft:
    """Everything that `slimgate init` writes into a suite, except the budgets.

    name: of the suite's file; stated: the data's label of each output, if the user stated it.
    """

    name: str
    files: DataFiles
    parts: Mapping[str, pa.Table]
    model: ModelSettings
    guess: Guess
    stated: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pa.Table:
        """The rows of all parts."""
        return concat_parts(self.parts)

    @cached_property
    def tokenized(self) -> TokenCounts:
        """The tokens of some rows, from the model's tokenizer."""
        return count_tokens(self.model, self.table, self.guess.texts)

    @property
    def tokens(self) -> list[int]:
        """The numbers of tokens of some rows."""
        return self.tokenized.counts

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The labels of all rows; empty if rows have numbers or no labels."""
        if self.task.auto_class is None:
            return ()
        table = self.table
        if "id" not in table.column_names:
            table = table.append_column("id", pa.array(map(str, range(table.num_rows))))
        return self.task.facts(self._guessed_params, {"all": Rows(table)}).classes

    @cached_property
    def task(self) -> Task[Any]:
        """The task that was guessed, or that the user named."""
        plugin: Task[Any] = load("task", self.guess.kind)
        return plugin

    @cached_property
    def _guessed_params(self) -> Any:
        """The task's Params with the options that were guessed."""
        return make_task_params(self.guess.kind, self.task, self.guess.options)

    @cached_property
    def label(self) -> str | None:
        """The column of a classification's single label; None for other tasks."""
        return self.task.label_column(self._guessed_params) if self.task.auto_class else None

    @cached_property
    def counts(self) -> Counter[str]:
        """The number of rows of each label of a classification."""
        assert self.label is not None
        return Counter(map(str, self.table[self.label].to_pylist()))

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the suite measures; the first one has budgets."""
        return self.task.proposed_metrics or self.task.default_metrics_with(self._guessed_params)

    @cached_property
    def readiness(self) -> Readiness:
        """Whether the model can do the task without training."""
        return self.model.judge_readiness(self.task.auto_class, self.classes, self.stated)

    @cached_property
    def max_tokens(self) -> int:
        return proposing.choose_max_tokens(self.tokens, self.model.longest)

    @cached_property
    def sizes(self) -> dict[str, Any]:
        rows = {name: table.num_rows for name, table in self.parts.items()}
        if "gate" in self.parts and "train" in self.parts:
            rows["train"] = self._count_free_train_rows()
        return proposing.choose_split_sizes(rows)

    def _count_free_train_rows(self) -> int:
        """Counts the rows of train whose group and text do not occur in the gate: the others are left out."""
        train, gate = (list(self._list_keys(name)) for name in ("train", "gate"))
        texts, groups = {text for text, _ in gate}, {group for _, group in gate if group is not None}
        return sum(text not in texts and group not in groups for text, group in train)

    def _list_keys(self, part: str) -> Iterator[tuple[str, Any]]:
        """The text and the group of each row. Raises DataError if a column of text is missing."""
        table, group = self.parts[part], self.guess.group
        for name in self.guess.texts:
            require_column(part, table, name, "text")
        known = group is not None and group in table.column_names
        values = table[group].to_pylist() if known else [None] * table.num_rows
        texts = map(normalize_row, collapse_texts(table, self.guess.texts))
        groups = (None if value is None else str(value) for value in values)
        return zip(texts, groups, strict=True)

    @cached_property
    def cut(self) -> Cut:
        """The splits as a run will cut them. Raises DataError for rows that cannot be used."""
        task, params = self.task, make_task_params(self.guess.kind, self.task, self.options)
        columns = SplitColumns(
            task.text_columns(params), task.label_column(params), self.guess.group, task.columns(params)
        )
        return cut_splits(self.parts, SplitSizes.model_validate(self.sizes), columns, seed=0)

    @cached_property
    def options(self) -> dict[str, Any]:
        """The keys of [task] that belong to the task."""
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in self.guess.options.items()}
        if "max_tokens" in self.task.Params.model_fields:
            values["max_tokens"] = self.max_tokens
        pooling = proposing.choose_pooling(self.model, self.task, self.readiness)
        if pooling is not None:
            values["pooling"] = pooling
        if self.stated:
            values["labels"] = self._list_stated_labels()
        if "add_bos" in self.task.Params.model_fields and self.model.config.get("bos_token_id") is not None:
            values["add_bos"] = True
        if "chat" in self.task.Params.model_fields and self.model.has_chat_template:
            values["chat"] = True
        return values

    def _list_stated_labels(self) -> tuple[str, ...]:
        if self.readiness in ("headless", "fresh"):
            raise DataError(
                "--model-labels: the model has no head for this task, so it has no outputs to label; "
                "leave the option out"
            )
        if self.readiness == "other labels":
            raise DataError(
                f"--model-labels: {format_label_map(self.stated)} was given, expected the data's label for "
                f"each output of the model ({format_label_map(list_model_labels(self.model.config))}); the "
                f"labels of the data are {format_label_map(self.classes)}"
            )
        return self.stated

    @cached_property
    def gate(self) -> GateGroups:
        """The gate's rows and their groups, in the judge's form."""
        return count_groups(Rows(self.cut.splits["gate"]), self.guess.texts, self.guess.group)

    @property
    def recurring(self) -> int:
        """How many rows of pairs share a text with another row."""
        if len(self.guess.texts) < 2:
            return 0
        columns = [join_texts(self.table, (name,)) for name in self.guess.texts]
        rows = list(zip(*columns, strict=True))
        seen = Counter(text for row in rows for text in set(row))
        return sum(any(seen[text] > 1 for text in row) for row in rows)
