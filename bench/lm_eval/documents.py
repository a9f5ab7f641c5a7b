"""The data set of the tasks in this folder: summaries of functions of installed packages.

Functions of one file are in one split, two files of five in the test split.
"""

from __future__ import annotations

import random
import zlib
from pathlib import Path
from typing import Any

import datasets

from fixtures.sources.docstring_names import Params, source


def load(**_metadata: Any) -> datasets.DatasetDict:
    """train and test, with columns summary, names, answer, package and file."""
    rows = source.read(Params(), scratch=Path())["all"].to_pylist()
    random.Random(0).shuffle(rows)  # a limit takes the first documents
    splits: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for row in rows:
        splits["test" if zlib.crc32(row["file"].encode()) % 5 < 2 else "train"].append(row)
    return datasets.DatasetDict({name: datasets.Dataset.from_list(some) for name, some in splits.items()})
