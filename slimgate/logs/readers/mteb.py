"""mteb: predictions of a retrieval task (`prediction_folder`), `<task>_predictions.json`, with the qrels.

The file holds, by subset and split, the scores of documents for each query, and not which are right. So the
right documents are read from `qrels.tsv` in the same folder (columns query-id, corpus-id, score, as in BEIR).
A row is a query; its scores are ndcg_at_10 and recall_at_10. A tie counts against the model, as in slimgate's
own tasks: a broken model may give all documents one score, and the names of right documents may sort first.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from math import isfinite, log2
from pathlib import Path

from slimgate.data.joined_rows import refuse_joined_rows
from slimgate.errors import DataError
from slimgate.logs.json_lines import read_object
from slimgate.plugins.reader import DOCUMENT, Log, Reader, Row, TaskLog

_QRELS, _DEPTH, _END, _META = "qrels.tsv", 10, "_predictions.json", "mteb_model_meta"
# HELM writes a file of this name into the folder of each run.
_OF_HELM = "display_predictions.json"
# query -> right document -> grade
Grades = Mapping[str, Mapping[str, float]]


class Mteb(Reader):
    """One predictions file, or a folder with the predictions files of one model."""

    def recognizes(self, path: Path) -> bool:
        if path.is_dir():
            return any(file.name != _OF_HELM for file in path.glob(f"*{_END}"))
        return path.name.endswith(_END) and path.name != _OF_HELM

    def read(self, path: Path) -> Log:
        files = [path] if path.is_file() else sorted(path.glob(f"*{_END}"))
        tasks: dict[str, TaskLog] = {}
        notes: list[str] = []
        models: set[tuple[str, str | None]] = set()
        for file in files:
            right, results = _read_right_documents(file), dict(read_object(file))
            meta = results.pop(_META, None) or {}
            models |= {(meta["model_name"], meta.get("revision"))} if meta.get("model_name") else set()
            answered: set[str] = set()
            for subset, splits in results.items():
                for split, queries in splits.items():
                    name = "/".join([file.name.removesuffix(_END), subset, split])
                    tasks[name] = TaskLog(partial(_read_rows, file, subset, split, right), written=False)
                    answered |= set(queries)
            if unknown := len(answered - set(right)):
                notes.append(f"{file}: {unknown:,} queries have no right documents and are not judged")
        if len(models) > 1:
            # another revision is another model
            several = len({name for name, _ in models}) > 1
            names = ", ".join(sorted(name if several else f"{name} {revision}" for name, revision in models))
            raise DataError(f"{path}: predictions of {len(models)} models ({names}); give those of one model")
        return Log("mteb", str(path), tasks, next((name for name, _ in models), None), tuple(notes))


def _read_right_documents(file: Path) -> Grades:
    """The right documents of each query with their grades."""
    task = file.name.removesuffix(_END)
    places = (file.with_name(f"{task}_{_QRELS}"), file.with_name(_QRELS))
    nearby = next((place for place in places if place.is_file()), None)
    if nearby is None:
        raise DataError(
            f"{file}: mteb's predictions do not say which documents are right; put {_QRELS} next to it, "
            "with the columns query-id, corpus-id, score"
        )
    refuse_joined_rows(nearby, "\t", hint="double the quotes of a name, or remove them")
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    with nearby.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            try:
                scores[row["query-id"]][row["corpus-id"]] = float(row["score"])
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"{nearby}: {error!r}; expected the columns query-id, corpus-id, score"
                ) from None
    return scores


def _read_rows(file: Path, subset: str, split: str, right: Grades) -> Iterator[Row]:
    """The queries of a split, and as missing those with right documents that no split of the file has."""
    table = read_object(file)
    answered = {
        query for name, splits in table.items() if name != _META for part in splits.values() for query in part
    }
    for query in (query for query in right if query not in answered):
        yield Row(id=query, scores={"ndcg_at_10": None, "recall_at_10": None}, error="no prediction")
    for query, documents in table[subset][split].items():
        grades = right.get(query)
        if not grades:
            continue
        if not isinstance(documents, dict):
            raise DataError(f"{file}: query {query} is not a mapping of documents to scores")
        if not all(map(isfinite, documents.values())):
            raise DataError(f"{file}: query {query} has a score that is not a finite number")
        ranked = sorted(documents, key=lambda name: (-documents[name], grades.get(name, 0.0), name))[:_DEPTH]
        yield Row(
            id=query,
            scores={
                "ndcg_at_10": _compute_ndcg(ranked, grades),
                "recall_at_10": _compute_recall(ranked, grades),
            },
            keys={DOCUMENT: " ".join([query, *(f"{name}={grades[name]:g}" for name in sorted(grades))])},
            answer=" ".join(ranked),
            target=" ".join(sorted(grades)),
        )


def _compute_ndcg(ranked: list[str], grades: Mapping[str, float]) -> float:
    """NDCG. Source: Järvelin and Kekäläinen 2002, with grades as gains, as in pytrec_eval."""
    gained = sum(grades.get(name, 0.0) / log2(at + 2) for at, name in enumerate(ranked))
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:_DEPTH]
    best = sum(grade / log2(at + 2) for at, grade in enumerate(ideal))
    return gained / best if best else 0.0


def _compute_recall(ranked: list[str], grades: Mapping[str, float]) -> float:
    relevant = {name for name, grade in grades.items() if grade > 0}
    return len(relevant & set(ranked)) / len(relevant) if relevant else 0.0


reader = Mteb()
