"""The prediction files of README and docs/: a classifier, two smaller ones, on paragraphs of documentation.

    python -m tools.measuring.example_predictions docs/example_predictions

Real text of installed packages, TF-IDF with logistic regression. The teacher has all features, the others few of
them. All learn from the same files and answer the same held-out files.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from slimgate.plugins.loading import load

LIBRARIES = ("networkx", "nltk", "sqlalchemy")
# Features of each model; None: all that occur twice.
FEATURES = {"teacher": None, "small": 4000, "tiny": 600}
HELD_OUT = 40  # percent of the files


def main(folder: Path) -> None:
    """Writes a csv for each model: id, label, prediction and group, which is a file of the package."""
    source: Any = load("source", "library_docs")
    rows = source.read(source.Params(libraries=LIBRARIES), scratch=folder)["all"].to_pylist()
    train = [row for row in rows if _percent(row["file"]) >= HELD_OUT]
    gate = [row for row in rows if _percent(row["file"]) < HELD_OUT]
    groups = {name: number for number, name in enumerate(dict.fromkeys(row["file"] for row in gate))}
    for name, features in FEATURES.items():
        words = TfidfVectorizer(min_df=2, ngram_range=(1, 2), sublinear_tf=True, max_features=features)
        model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=300))
        model.fit(_texts(train), [row["library"] for row in train])
        answers = model.predict(_texts(gate))
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["id", "label", "prediction", "group"])
            for number, (row, answer) in enumerate(zip(gate, answers, strict=True)):
                writer.writerow([number, row["library"], answer, groups[row["file"]]])


def _texts(rows: Sequence[dict[str, str]]) -> list[str]:
    return [row["paragraph"] for row in rows]


def _percent(file: str) -> int:
    return int(hashlib.sha256(file.encode()).hexdigest(), 16) % 100


if __name__ == "__main__":
    main(Path(sys.argv[1]))
