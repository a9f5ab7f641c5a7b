"""Whether the prediction column of a file holds answers at all: values of the kind that its labels are.

An evaluation log has many columns, and one of scores (1 where the answer was right, else 0) is easily taken
for the answers. Judged as answers, scores give a wrong accuracy without any error.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slimgate.errors import DataError
from slimgate.logs.predictions.files import Predictions, some

# How a score of 0 or 1 is written.
SCORES = frozenset({"0", "1", "0.0", "1.0", "true", "false"})
# Names that evaluation tools give to columns of scores, in lower case.
SCORE_NAMES = frozenset({"acc", "acc_norm", "accuracy", "correct", "is_correct", "em", "exact_match"})
# A teacher that answers 0 and 1 alone is taken for scores where more of the rows than this have another
# label: a classifier that never names the classes of a quarter of its rows is no teacher.
MOST_NEVER_PREDICTED = 0.25


def check_answers(teacher: Predictions, variant: Predictions) -> None:
    """Raises DataError where the predictions of a file are no answers to its labels.

    The two files have the same labels. A variant may answer what only its teacher answers, and may have
    collapsed to few answers: then it is judged.
    """
    labels = set(pc.unique(teacher.labels).to_pylist())
    _check(teacher, labels, scores=_unpredicted_share(teacher) > MOST_NEVER_PREDICTED)
    _check(variant, labels | _answers(teacher), scores=False)


def _check(file: Predictions, known: set[str], *, scores: bool) -> None:
    """known: what an answer may be; scores: whether answers of 0 and 1 alone are scores in any case."""
    predicted = _answers(file)
    if not predicted:
        return
    named_so = file.names.prediction.lower() in SCORE_NAMES
    if (named_so or scores) and {value.lower() for value in predicted} <= SCORES:
        hint = "these look like scores of the answers"
    elif not predicted & known:
        hint = "no prediction is one of the labels"
    else:
        return
    raise DataError(
        f"{_describe_values(file)}: {hint}; expected the answers, written as the labels are: name their "
        "column by --prediction COLUMN, and that of the right answers by --label COLUMN"
    )


def _answers(file: Predictions) -> set[str]:
    """The different predictions of a file; none where it leaves them to the probabilities."""
    return set() if file.predictions is None else set(pc.unique(file.predictions).to_pylist())


def _unpredicted_share(file: Predictions) -> float:
    """The share of rows whose label is no prediction of any row."""
    predictions = pa.array(sorted(_answers(file)), file.labels.dictionary.type)
    known = pc.is_in(file.labels.dictionary, value_set=predictions).to_numpy(zero_copy_only=False)
    return float(np.mean(~known[file.labels.indices.to_numpy()]))


def _describe_values(file: Predictions) -> str:
    """`a.csv: column "acc" holds "0" and "1", column "label" holds "0", "1", "2" and 1 more`."""
    columns = ((file.names.prediction, file.predictions), (file.names.label, file.labels))
    return f"{file.shown}: " + ", ".join(
        f'column "{name}" holds {some(pa.array(sorted(pc.unique(values).to_pylist())))}'
        for name, values in columns
    )
