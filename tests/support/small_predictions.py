"""Prediction files of three rows, for tests that write, read and pair them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slimgate.logs.predictions.columns import ColumnNames
from slimgate.logs.predictions.files import Predictions, read_predictions
from slimgate.logs.predictions.pairs import Pair, pair_predictions
from support.prediction_rows import write_predictions

NAMES = ColumnNames()
PLAIN = {"id": ["a", "b", "c"], "label": ["x", "y", "x"], "prediction": ["x", "y", "y"]}
SCORES = {"p_x": [0.9, 0.2, 0.4], "p_y": [0.1, 0.8, 0.6]}


def read_rows(path: Path, **columns: Any) -> Predictions:
    """Writes a file with these columns, and reads it."""
    return read_predictions(write_predictions(path, columns), NAMES)


def pair_rows(folder: Path, teacher: dict[str, Any], variant: dict[str, Any]) -> Pair:
    """Writes the columns of two files, reads the files and pairs their rows."""
    files = (write_predictions(folder / "t.jsonl", teacher), write_predictions(folder / "v.jsonl", variant))
    first, other = (read_predictions(file, NAMES) for file in files)
    return pair_predictions(first, other)
