"""Writes the prediction files of README and docs/: a classifier, and copies with weights of few bits.

    python -m tools.measuring.example_predictions docs/example_predictions

The rows are text of installed packages. The classifier is TF-IDF with logistic regression. The weights of
each class are rounded to the nearest of 2^bits - 1 equal steps. All models answer the same held-out files.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from slimgate.plugins.loading import load

Floats = NDArray[np.float64]
LIBRARIES = ("networkx", "nltk", "sqlalchemy")
# Bits of a weight; None: unchanged, with 64 bits.
BITS = {"teacher": None, "small": 8, "four_bits": 4, "two_bits": 2}
HELD_OUT = 60  # percent of the files


def main(folder: Path) -> None:
    """Writes a csv for each model: id, label, prediction and group, which is a file of the package."""
    source: Any = load("source", "library_docs")
    rows = source.read(source.Params(libraries=LIBRARIES), scratch=folder)["all"].to_pylist()
    train = [row for row in rows if _hash_to_percent(row["file"]) >= HELD_OUT]
    gate = [row for row in rows if _hash_to_percent(row["file"]) < HELD_OUT]
    groups = {name: number for number, name in enumerate(dict.fromkeys(row["file"] for row in gate))}
    words = TfidfVectorizer(min_df=2, ngram_range=(1, 2), sublinear_tf=True)
    classes = LogisticRegression(C=10.0, max_iter=300)
    make_pipeline(words, classes).fit(_list_texts(train), [row["library"] for row in train])
    original_weights, features = classes.coef_, words.transform(_list_texts(gate))
    for name, bits in BITS.items():
        classes.coef_ = original_weights if bits is None else round_weights(original_weights, bits)
        answers = classes.predict(features)
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "label", "prediction", "group"])
            for number, (row, answer) in enumerate(zip(gate, answers, strict=True)):
                writer.writerow([number, row["library"], answer, groups[row["file"]]])


def round_weights(weights: Floats, bits: int) -> Floats:
    """Rounds (classes, features) weights. Each class has 2^(bits - 1) - 1 equal steps on each side of 0."""
    step = np.abs(weights).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
    rounded: Floats = step * np.round(weights / step)
    return rounded


def _list_texts(rows: Sequence[dict[str, str]]) -> list[str]:
    return [row["paragraph"] for row in rows]


def _hash_to_percent(file: str) -> int:
    return int(hashlib.sha256(file.encode()).hexdigest(), 16) % 100


if __name__ == "__main__":
    main(Path(sys.argv[1]))
