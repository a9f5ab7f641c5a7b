"""A baseline: TF-IDF with logistic regression, on the same splits as a suite's teacher.

    python -m tools.peers.tfidf_baseline bench/library_docs.toml

Writes the gate accuracy of word and character features, the regularisation chosen on `selection`, and that of
the teacher. A teacher that is no better than this baseline is not worth compressing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from slimgate.results.checks import TEACHER
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite

FEATURES: dict[str, dict[str, Any]] = {
    "words 1-2": {"ngram_range": (1, 2), "sublinear_tf": True},
    "characters 2-5": {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True, "min_df": 2},
}
STRENGTHS = (3.0, 10.0, 30.0)


def main(suite_file: str, store: str = ".slimgate") -> None:
    """Writes a line for each kind of features, and one for the teacher."""
    suite = load_suite(Path(suite_file).resolve())
    run = SuiteRun(suite, Store(Path(store)), device="cpu")
    task = suite.setup.task
    classification: Any = task.object
    data = {
        name: (_join_texts(rows, task), classification.label_indices(task.params, rows, run.rows.facts))
        for name, rows in run.rows.splits.items()
    }
    for name, options in FEATURES.items():
        accuracy, strength = measure_baseline(data["train"], data["selection"], data["gate"], options)
        sys.stdout.write(f"TF-IDF {name}: {accuracy:.4f} (C = {strength:g})\n")
    teacher: Any = run.measure_outcomes(TEACHER)
    right = teacher.predictions == teacher.labels
    low, high = compute_group_interval(right, teacher.groups)
    sys.stdout.write(f"teacher: {right.mean():.4f}, 95 % interval over groups [{low:.4f}, {high:.4f}]\n")


def measure_baseline(train: Any, selection: Any, gate: Any, options: dict[str, Any]) -> tuple[float, float]:
    """Gate accuracy at the strength that is best on selection. Each argument: texts, labels."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectors = TfidfVectorizer(**options)
    inputs = vectors.fit_transform(train[0])
    fitted = [LogisticRegression(C=c, max_iter=300).fit(inputs, train[1]) for c in STRENGTHS]
    best = int(np.argmax([model.score(vectors.transform(selection[0]), selection[1]) for model in fitted]))
    return float(fitted[best].score(vectors.transform(gate[0]), gate[1])), STRENGTHS[best]


def compute_group_interval(
    right: Any, groups: Any, *, resamples: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile interval of the accuracy, groups resampled whole."""
    groups = np.arange(len(right)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums, sizes = np.bincount(groups, right), np.bincount(groups)
    draws = np.random.default_rng(seed).integers(len(sizes), size=(resamples, len(sizes)))
    low, high = np.percentile(sums[draws].sum(1) / sizes[draws].sum(1), [2.5, 97.5])
    return float(low), float(high)


def _join_texts(rows: Any, task: Any) -> list[str]:
    columns = [rows.table[name].to_pylist() for name in task.object.text_columns(task.params)]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]


if __name__ == "__main__":
    main(*sys.argv[1:])
