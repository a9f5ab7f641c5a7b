"""Scores of matched samples: what is missing in a log, what it counts as, and which rows belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest
from support.paired_logs import Scores, make_differences, make_log, make_rows, pair_rows, read_refusal

from slimgate.errors import DataError
from slimgate.judge.named_scores import Range
from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.pairs import pair_task
from slimgate.logs.rules import Differences, Rules
from slimgate.logs.score_pairs import Counts, pair_scores
from slimgate.plugins.reader import Row

SCORED = [1.0, 0.0, 1.0, 0.0]


def count_pairs(
    base: Sequence[Row], target: Sequence[Row], rules: Rules, **more: Any
) -> tuple[Counts, list[list[float]], Differences]:
    differences = make_differences()
    paired = pair_rows(base, target, rules=rules, differences=differences, **more)
    scores = pair_scores(paired, "em", rules, differences)
    assert scores is not None
    assert not differences.has_refused
    return scores.counts, [scores.base.tolist(), scores.target.tolist()], differences


def test_nothing_is_missing_where_every_sample_has_a_score() -> None:
    counts, scores, differences = count_pairs(make_rows(SCORED), make_rows(SCORED[::-1]), Rules())
    assert counts == Counts(judged=4)
    assert counts.missing == 0
    assert scores == [SCORED, SCORED[::-1]]
    assert differences.notes == []


def test_samples_that_are_left_are_counted_up() -> None:
    """Of 12 epochs of 4 samples, 7 more epochs have not run: 2.3 samples."""
    assert Counts(judged=12, not_run=7).with_samples(4) == Counts(judged=4, not_run=3)
    assert Counts(judged=12, not_run=6).with_samples(4) == Counts(judged=4, not_run=2)


MISSING: dict[str, tuple[Scores, Scores, str, Counts]] = {
    "in the base": ([None, 0.0], [1.0, 0.0], "1 has no score in the base's log", Counts(1, unscored_base=1)),
    "in the target": (
        [1.0, 0.0],
        [None, 0.0],
        "1 has no score in the target's log",
        Counts(1, unscored_target=1),
    ),
    "in both": ([None, 0.0], [None, 0.0], "1 has no score in either log", Counts(1, unscored_both=1)),
    "as NaN in both": (
        [float("nan"), 0.0],
        [None, 0.0],
        "1 has no score in either log",
        Counts(1, unscored_both=1),
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_score_that_is_missing_in_one_log_or_both_is_one_rule(name: str) -> None:
    before, after, words, counts = MISSING[name]
    base, target = make_rows(before), make_rows(after)
    differences = make_differences()
    assert pair_scores(pair_rows(base, target), "em", Rules(), differences) is None
    assert read_refusal(differences) == (
        f'gsm8k/em: of 2 samples {words} ("0"): --missing drop leaves them out, --missing as-wrong '
        "counts those that only the target lacks as wrong"
    )
    dropped, scores, noted = count_pairs(base, target, Rules(missing="drop"))
    assert dropped == counts
    assert dropped.missing == 1
    assert scores == [[0.0], [0.0]]
    assert noted.notes == [f'gsm8k/em: of 2 samples {words} ("0"): left out (--missing drop)']


def test_missing_scores_as_wrong_are_the_worst_value() -> None:
    base, target = make_rows([1.0, None, None, 1.0]), make_rows([None, 1.0, None, 1.0])
    counts, scores, noted = count_pairs(base, target, Rules(missing="as-wrong"))
    assert counts == Counts(2, unscored_base=1, unscored_target=1, unscored_both=1)
    assert counts.missing == 3
    assert scores == [[1.0, 1.0], [0.0, 1.0]]
    assert noted.notes == [
        "gsm8k/em: of 4 samples 1 has no score in the base's log, 1 has no score in the target's log, "
        "1 has no "
        'score in either log ("0", "1", "2"): wrong if only the target has no score, left out if the base '
        "has none (--missing as-wrong)"
    ]


def test_of_an_error_the_worst_value_is_one() -> None:
    rows = [make_rows(scores, metric="wer") for scores in ([0.2, None], [None, 0.3])]
    differences = make_differences()
    rules = Rules(missing="as-wrong")
    scores = pair_scores(pair_rows(*rows), "wer", rules, differences)
    assert scores is not None
    assert (scores.base.tolist(), scores.target.tolist()) == ([0.2], [1.0])


@pytest.mark.parametrize(
    ("metric", "ends", "wrong"),
    [
        pytest.param("em", (-1.0, 1.0), 0, id="better-when-higher"),
        pytest.param("wer", (0.0, 2.0), 1, id="better-when-lower"),
        pytest.param("loss", (0.0, inf), 1, id="without-an-upper-end"),
    ],
)
def test_a_range_with_another_worst_value_is_refused(metric: str, ends: Range, wrong: int) -> None:
    """Else a missing sample counts for less than the worst score, and the target may pass with it."""
    rows = [make_rows(scores, metric=metric) for scores in ([0.2, 0.3], [None, 0.3])]
    paired = replace(pair_rows(*rows), higher_is_better={metric: metric == "em"})
    expected = re.escape(
        f"gsm8k/{metric}: scores from {ends[0]:g} to {ends[1]:g} have another worst value than {wrong}"
    )
    with pytest.raises(DataError, match=f"^{expected}; --missing as-wrong needs scores from 0 to 1; leave"):
        pair_scores(paired, metric, Rules(missing="as-wrong"), make_differences(), ends)


@pytest.mark.parametrize(
    ("metric", "ends", "wrong"),
    [
        pytest.param("em", (0.0, 5.0), 0.0, id="from-0"),
        pytest.param("wer", (0.0, inf), 1.0, id="with-a-cap-of-1"),
        pytest.param("loss", (-1.0, 1.0), 1.0, id="up-to-1"),
    ],
)
def test_a_range_with_the_same_worst_value_is_judged(metric: str, ends: Range, wrong: float) -> None:
    rows = [make_rows(scores, metric=metric) for scores in ([0.2, 0.3], [None, 0.3])]
    paired = replace(pair_rows(*rows), higher_is_better={metric: metric == "em"})
    scores = pair_scores(paired, metric, Rules(missing="as-wrong"), make_differences(), ends)
    assert scores is not None
    assert scores.target.tolist() == [wrong, 0.3]


def test_samples_of_one_log_alone_are_counted_with_examples() -> None:
    base, target = make_rows(SCORED), make_rows(SCORED[1:], first=1)
    differences = make_differences()
    assert pair_scores(pair_rows(base, target), "em", Rules(), differences) is None
    assert 'gsm8k/em: of 4 samples 1 is only in the base\'s log ("0"): --missing' in read_refusal(differences)
    differences = make_differences()
    assert pair_scores(pair_rows(target, base), "em", Rules(), differences) is None
    assert 'gsm8k/em: of 4 samples 1 is only in the target\'s log ("0"): --missing' in read_refusal(
        differences
    )
    counts, scores, _ = count_pairs(base, target, Rules(missing="drop"))
    assert counts == Counts(3, only_base=1)
    assert scores == [SCORED[1:]] * 2


def test_a_hole_of_the_base_never_makes_room_for_the_target() -> None:
    base: list[float | None] = [1.0] * 90 + [None] * 10
    target = [0.0] * 10 + [1.0] * 90
    counts, scores, _ = count_pairs(make_rows(base), make_rows(target), Rules(missing="as-wrong"))
    assert counts == Counts(90, unscored_base=10)
    assert np.mean(scores[0]) - np.mean(scores[1]) == pytest.approx(10 / 90)


def test_samples_of_the_base_alone_are_wrong_in_the_target() -> None:
    base, target = make_rows([1.0, 1.0]), make_rows([0.0, 1.0], first=1)
    differences = make_differences()
    rules = Rules(missing="as-wrong")
    scores = pair_scores(pair_rows(base, target, rules=rules), "em", rules, differences)
    assert scores is not None
    assert scores.counts == Counts(2, only_base=1, only_target=1)
    assert scores.base_rows.tolist() == [1, 0]
    assert scores.target_rows.tolist() == [0, -1]
    assert scores.base.tolist() == [1.0, 1.0]
    assert scores.target.tolist() == [0.0, 0.0]


def test_both_kinds_of_missing_samples_are_in_one_count() -> None:
    base, target = make_rows([None, 1.0, 1.0, 1.0]), make_rows([1.0, 1.0, 1.0, 1.0], first=0)[:3]
    differences = make_differences()
    assert pair_scores(pair_rows(base, target), "em", Rules(), differences) is None
    assert (
        "gsm8k/em: of 4 samples 1 is only in the base's log, 1 has no score in the base's log "
        '("0"): --missing' in read_refusal(differences)
    )


@pytest.mark.parametrize("worst", [-0.1, 1.5])
def test_scores_of_any_range_have_no_worst_value(worst: float) -> None:
    paired = pair_rows(make_rows([worst, 1.0]), make_rows([None, 1.0]))
    low, high = min(worst, 1.0), max(worst, 1.0)
    expected = re.escape(
        f"gsm8k/em: scores from {low:g} to {high:g} have no value that is wrong; --missing as-wrong "
        f"needs scores "
        "from 0 to 1"
    )
    with pytest.raises(DataError, match=f"^{expected}$"):
        pair_scores(paired, "em", Rules(missing="as-wrong"), make_differences())


def test_without_any_score_nothing_is_judged() -> None:
    failed = [Row("0", {"em": None}, error="time-out  of\nthe server")]
    paired = pair_rows(failed, failed)
    with pytest.raises(DataError) as error:
        pair_scores(paired, "em", Rules(missing="drop"), make_differences())
    assert str(error.value) == (
        'gsm8k/em: no sample has a score in both logs, first error "time-out of the server"'
    )
    with pytest.raises(DataError) as error:
        pair_scores(paired, "em", Rules(missing="as-wrong"), make_differences())
    assert str(error.value) == (
        'gsm8k/em: no sample has a score in the base\'s log, first error "time-out of the server"; run the '
        "base again"
    )


def test_the_error_of_a_failed_sample_is_quoted() -> None:
    base = [*make_rows([1.0, 1.0]), Row("2", {"em": None}, error="base's error")]
    target = [*make_rows([1.0]), Row("1", {"em": None}, error="e" * 130), Row("2", {"em": 1.0})]
    differences = make_differences()
    assert pair_scores(pair_rows(base, target), "em", Rules(), differences) is None
    assert f'("1", "2"), first error "{"e" * 120}": --missing' in read_refusal(differences)
    differences = make_differences()
    assert pair_scores(pair_rows(base, make_rows([1.0] * 3)), "em", Rules(), differences) is None
    assert '("2"), first error "base\'s error": --missing' in read_refusal(differences)
    differences = make_differences()
    silent = [Row("0", {"em": None}, error=""), Row("1", {"em": 1.0})]
    assert pair_scores(pair_rows(silent, silent), "em", Rules(), differences) is None
    assert '("0"): --missing' in read_refusal(differences)


def test_an_optional_metric_is_not_missing_where_it_is_not() -> None:
    rows = [*make_rows([1.0, 0.0]), Row("2", {"tone": 1.0}), Row("3", {"tone": 0.0})]
    counts, scores, _ = count_pairs(rows, rows, Rules(), optional_metrics=True)
    assert counts == Counts(2, not_of_metric=2)
    assert counts.missing == 0
    assert scores == [[1.0, 0.0]] * 2
    differences = make_differences()
    assert pair_scores(pair_rows(rows, rows), "em", Rules(), differences) is None
    assert "gsm8k/em: of 4 samples 2 have no score in either log" in read_refusal(differences)


OPTIONAL: dict[str, tuple[Row, Row, Counts]] = {
    "an empty score": (
        Row("1", {"em": None, "f": 1.0}),
        Row("1", {"em": None, "f": 1.0}),
        Counts(1, unscored_both=1),
    ),
    "an empty score in one": (
        Row("1", {"em": None, "f": 1.0}),
        Row("1", {"f": 1.0}),
        Counts(1, unscored_both=1),
    ),
    "a score in one": (Row("1", {"f": 1.0}), Row("1", {"em": 1.0, "f": 1.0}), Counts(1, unscored_base=1)),
    "an error": (Row("1", {"f": 1.0}, error="x"), Row("1", {"f": 1.0}), Counts(1, unscored_both=1)),
    "no metric": (Row("1", {}), Row("1", {}), Counts(1, unscored_both=1)),
}


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_metric_is_missing_with(name: str) -> None:
    before, after, expected = OPTIONAL[name]
    first = Row("0", {"em": 1.0, "f": 1.0})
    counts, _, _ = count_pairs([first, before], [first, after], Rules(missing="drop"), optional_metrics=True)
    assert counts == expected


def test_samples_that_a_metric_is_not_of_are_never_wrong() -> None:
    base = [Row("0", {"em": 1.0}), Row("1", {"f": 1.0}), Row("2", {"f": 1.0}), Row("3", {"em": None})]
    rules = Rules(missing="as-wrong")
    counts, scores, _ = count_pairs(base, base[:2], rules, optional_metrics=True)
    # row 2 is in the base alone and is not of the metric; row 3 has no score in the base
    assert counts == Counts(1, only_base=2, not_of_metric=1)
    assert scores == [[1.0], [1.0]]


def test_answers_that_were_cut_off_are_counted() -> None:
    base = [Row("0", {"em": 1.0}, truncated=True), Row("1", {"em": 1.0}, truncated=True)]
    target = [Row("0", {"em": 1.0}), Row("1", {"em": 1.0}, truncated=True)]
    counts, _, differences = count_pairs(base, target, Rules())
    assert counts == Counts(2, truncated_base=2, truncated_target=1)
    [note] = differences.notes
    assert "2 answers of the base and 1 of the target were cut off at a limit" in note


def test_samples_that_a_growing_log_has_not_run_are_not_missing() -> None:
    base, target = make_rows(SCORED), make_rows(SCORED[:2])
    for missing in ("fail", "as-wrong"):
        counts, scores, _ = count_pairs(base, target, Rules(analyses=2, missing=missing))  # type: ignore[arg-type]
        assert counts == Counts(2, not_run=2)
        assert scores == [SCORED[:2]] * 2


def test_a_growing_log_may_still_lack_scores() -> None:
    counts, scores, _ = count_pairs(
        make_rows(SCORED), make_rows([None, 0.0]), Rules(analyses=2, missing="as-wrong")
    )
    assert counts == Counts(2, not_run=2, unscored_target=1)
    assert scores == [[1.0, 0.0], [0.0, 0.0]]


def test_groups_of_either_log_count() -> None:
    target = [Row("0", {"em": 1.0}, cluster="a"), Row("1", {"em": 1.0}, cluster="a")]
    base = [*target, Row("2", {"em": 1.0}, cluster="b")]
    rules, differences = Rules(missing="as-wrong"), make_differences()
    scores = pair_scores(pair_rows(base, target, rules=rules), "em", rules, differences)
    assert scores is not None
    assert scores.clusters is not None
    assert len(np.unique(scores.clusters)) == 2
    assert scores.clusters[0] == scores.clusters[1]
    bare = [Row(row.id, row.scores) for row in base]
    for sides in ((base, bare[:2]), (bare, target)):
        scores = pair_scores(pair_rows(*sides, rules=rules), "em", rules, differences)
        assert scores is not None
        assert scores.clusters is not None
        assert scores.clusters[0] == scores.clusters[1] != scores.clusters[2]
    scores = pair_scores(pair_rows(bare, bare), "em", rules, differences)
    assert scores is not None
    assert scores.clusters is None


def make_rows_in(*groups: str | None) -> list[Row]:
    return [Row(f"q{at}", {"em": 1.0}, cluster=group) for at, group in enumerate(groups)]


@pytest.mark.parametrize(
    ("base", "target", "differing"),
    [
        pytest.param(make_rows_in(*"aabb"), make_rows_in(*"xxyy"), None, id="the same under other names"),
        pytest.param(
            make_rows_in(*"aabb"), make_rows_in("x", "x", None, None), None, id="some rows have none"
        ),
        pytest.param(
            make_rows_in("q0", "q1", "q2", "q3"), make_rows_in(*"aabb"), None, id="names of the samples"
        ),
        pytest.param(make_rows_in(*"abcd"), make_rows_in(*"xxyy"), ("q1", "q3"), id="finer in the base"),
        pytest.param(make_rows_in(*"aaaa"), make_rows_in(*"xxyy"), ("q2", "q3"), id="finer in the target"),
        pytest.param(make_rows_in(*"aabb"), make_rows_in(*"xyyx"), ("q1", "q2", "q3"), id="crossed"),
    ],
)
def test_groups_that_differ_are_refused(
    base: list[Row], target: list[Row], differing: tuple[str, ...] | None
) -> None:
    differences = make_differences()
    paired = pair_rows(base, target, differences=differences)
    if differing is None:
        differences.check()
        assert len(set(paired.base.clusters[paired.base_rows].tolist())) == 2
        return
    with pytest.raises(DataError, match=f"groups differ in {len(differing)} of 4 samples") as error:
        differences.check()
    assert all(f'"{name}"' in str(error.value) or "more" in str(error.value) for name in differing)


def test_documents_go_with_the_scores() -> None:
    base = [
        Row(str(at), {"em": None if at == 1 else 1.0}, keys={"document": f"d{at % 2}"}) for at in range(4)
    ]
    rules = Rules(missing="drop")
    scores = pair_scores(pair_rows(base, base), "em", rules, make_differences())
    assert scores is not None
    assert len(scores.documents) == 3
    assert scores.documents[0] == scores.documents[1] != scores.documents[2]
    scores = pair_scores(pair_rows(make_rows(SCORED), make_rows(SCORED)), "em", Rules(), make_differences())
    assert scores is not None
    assert scores.documents.tolist() == [-1, -2, -3, -4]


def test_a_kept_base_has_the_same_holes(tmp_path: Any) -> None:
    rows = [Row("0", {"em": 1.0}), Row("1", {"em": None}), Row("2", {"f": 1.0}), Row("3", {})]
    log = make_log("base", {"gsm8k": rows}, optional_metrics=True, samples=9)
    write_base_log(log, tmp_path / "base.parquet")
    stored = read_base_log(tmp_path / "base.parquet", "kept")
    assert (stored.tasks["gsm8k"].optional_metrics, stored.tasks["gsm8k"].samples) == (True, 9)
    counts = []
    for base in (log, stored):
        (paired,) = pair_task("gsm8k", base, log, Rules(), make_differences())
        scores = pair_scores(paired, "em", Rules(missing="drop"), make_differences())
        assert scores is not None
        counts.append(scores.counts)
    assert counts == [Counts(1, unscored_both=2, not_of_metric=1)] * 2
