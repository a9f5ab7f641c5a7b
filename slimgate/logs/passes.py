"""pass@k and pass^k of the samples of two logs: from runs, from the epochs of a run, or from both."""

from __future__ import annotations

import numpy as np

from slimgate._system.number_text import format_count
from slimgate.errors import DataError
from slimgate.judge.over_runs import RunScores
from slimgate.judge.pass_k import PassMetric, compute_pass_scores
from slimgate.logs.columns import Samples, number_samples
from slimgate.logs.pairs import PairedTask
from slimgate.logs.score_pairs import PairedScores
from slimgate.outcomes import Ints
from slimgate.plugins.reader import split_epoch


def score_sample_passes(
    name: str, metric: PassMetric, paired: PairedTask, scores: PairedScores
) -> PairedScores:
    """The pass@k or pass^k of each sample, in place of a score of each row.

    The rows of a sample are its epochs. If there are several runs, the answers of all runs count. name: the
    comparison, for messages. scores: 0 or 1 for each row. Raises DataError if a sample has fewer than k
    answers.
    """
    member, first = _number_samples(paired, scores)
    runs = scores.runs or RunScores(scores.base[None], scores.target[None])
    values, moves = [], []
    for side, lines in (("base", runs.base), ("target", runs.target)):
        epochs = np.bincount(member).astype(np.float64)
        answers = epochs * len(lines)
        fewest = int(answers.argmin())
        if answers[fewest] < metric.k:
            sample = split_epoch(_read_id(paired, scores, int(first[fewest])))[0]
            raise DataError(
                f"{name}: sample {sample} has {format_count(int(answers[fewest]), 'answer', 'answers')} in "
                f"the {side}, but {metric.name} needs at least {metric.k}; give more runs (--base A1 A2 … "
                "--target B1 B2 …) or more epochs"
            )
        right = np.stack([np.bincount(member, weights=line) for line in lines])
        value, slopes = compute_pass_scores(metric, right.sum(axis=0), answers)
        values.append(value)
        moves.append(right / epochs * slopes)
    return PairedScores(
        base=values[0],
        target=values[1],
        base_rows=scores.base_rows[first],
        target_rows=scores.target_rows[first],
        clusters=None if scores.clusters is None else scores.clusters[first],
        documents=scores.documents[first],
        counts=scores.counts.with_samples(len(first)),
        runs=None if scores.runs is None else RunScores(moves[0], moves[1]),
    )


def _number_samples(paired: PairedTask, scores: PairedScores) -> tuple[Ints, Ints]:
    """(rows,) the sample of each row, from 0, and (samples,) the first row of each."""
    if paired.base.clusters is None:
        rows = np.arange(len(scores.base))
        return rows, rows
    member = number_samples(_read_id(paired, scores, row) for row in range(len(scores.base)))
    return member, np.unique(member, return_index=True)[1]


def _read_id(paired: PairedTask, scores: PairedScores, row: int) -> str:
    at = int(scores.base_rows[row])
    samples: Samples = paired.base
    if at < 0:
        samples, at = paired.target, int(scores.target_rows[row])
    return str(samples.ids[at].as_py())
