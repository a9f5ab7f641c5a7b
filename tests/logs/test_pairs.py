"""Samples of two logs, matched and compared: what is counted, what is refused, and in which words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from slimgate.errors import DataError
from slimgate.judge.score_ranges import Range
from slimgate.logs.base_log import read_base_log, write_base_log
from slimgate.logs.differences import Differences
from slimgate.logs.pairs import PairedTask, list_shared_tasks, pair_task
from slimgate.logs.rules import Rules, check_options
from slimgate.logs.score_pairs import Counts, format_comparison_name, pair_scores
from slimgate.plugins.reader import Digest, Log, Row, TaskLog

Scores = Sequence[float | None]


def log_of(shown: str, tasks: Mapping[str, Sequence[Row]], **more: Any) -> Log:
    directions = {"higher_is_better": {"em": True, "wer": False}, **more}
    by_name = {name: TaskLog(lambda rows=rows: iter(rows), **directions) for name, rows in tasks.items()}
    return Log("tool", shown, by_name)


def rows_of(scores: Scores, *, metric: str = "em", first: int = 0, **more: Any) -> list[Row]:
    return [Row(str(first + at), {metric: score}, **more) for at, score in enumerate(scores)]


def differences_of(*allow: str) -> Differences:
    return Differences(("base", "target"), allow)


def paired_of(
    base: Sequence[Row],
    target: Sequence[Row],
    *,
    rules: Rules | None = None,
    differences: Differences | None = None,
    **more: Any,
) -> PairedTask:
    """The only filter of the task gsm8k."""
    logs = log_of("base", {"gsm8k": base}, **more), log_of("target", {"gsm8k": target}, **more)
    (paired,) = pair_task("gsm8k", *logs, rules or Rules(), differences or differences_of())
    return paired


def refused(differences: Differences) -> str:
    """What the logs are refused with."""
    with pytest.raises(DataError) as error:
        differences.check()
    return str(error.value)


def without_score(row: Row) -> Row:
    return Row(row.id, {})


# ---- options and names


def test_what_may_differ_has_a_name() -> None:
    check_options(["prompt", "tasks", "limit"])
    with pytest.raises(DataError) as error:
        check_options(["shot"])
    assert str(error.value) == (
        "--allow shot: expected one of tasks, metrics, document, prompt, target, shots, limit, "
        "chat_template, version, generation, filters, task_args, scorers. Did you mean shots?"
    )


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("gsm8k", "strict", "em"), "gsm8k/strict/em"),
        (("gsm8k", "", "em"), "gsm8k/em"),
        (("", "", "em"), "em"),
    ],
)
def test_a_comparison_is_named_by_task_filter_and_metric(parts: tuple[str, str, str], name: str) -> None:
    assert format_comparison_name(*parts) == name


# ---- tasks


def test_tasks_of_one_log_alone_are_a_difference() -> None:
    base = log_of("base", {name: [] for name in "abcde"})
    target = log_of("target", {"a": [], "x": []})
    differences = differences_of()
    assert list_shared_tasks(base, target, differences) == ["a"]
    assert refused(differences) == (
        "base and target are not comparable: target lacks the tasks b, c, d and 1 more; base lacks the "
        "task x; "
        "accept them by --allow tasks"
    )
    allowed = differences_of("tasks")
    assert list_shared_tasks(base, target, allowed) == ["a"]
    assert allowed.notes == ["target lacks the tasks b, c, d and 1 more", "base lacks the task x"]
    assert not allowed.refused


def test_logs_without_a_common_task_are_refused_at_once() -> None:
    base, target = log_of("base", {"a": []}), log_of("target", {"x": []})
    with pytest.raises(DataError, match=r"no task in common: target lacks the task a; base lacks the task x"):
        list_shared_tasks(base, target, differences_of("tasks"))


def test_the_same_tasks_are_no_difference() -> None:
    base, target = log_of("base", {"a": [], "b": []}), log_of("target", {"b": [], "a": []})
    differences = differences_of()
    assert list_shared_tasks(base, target, differences) == ["a", "b"]
    assert (differences.notes, differences.refused) == ([], False)


# ---- settings, directions, filters, metrics


def settings_of(
    before: Mapping[str, Any], after: Mapping[str, Any], *allow: str, looks: int = 1
) -> Differences:
    logs = (
        log_of("base", {"gsm8k": rows_of([1.0])}, settings=before),
        log_of("target", {"gsm8k": rows_of([1.0])}, settings=after),
    )
    differences = differences_of(*allow)
    assert len(pair_task("gsm8k", *logs, Rules(looks=looks), differences)) == 1
    return differences


@pytest.mark.parametrize(
    ("name", "before", "after", "words"),
    [
        (
            "shots",
            {"shots": 0},
            {"shots": 5, "seed": 1},
            'shots {"shots": 0, "seed": null} and {"shots": 5, "seed": 1}',
        ),
        ("limit", "none (9 samples)", "3 of 9 samples", "limit none (9 samples) and 3 of 9 samples"),
        (
            "chat_template",
            {"sha": "a", "x": 1},
            {"sha": None, "x": 1},
            'chat template {"sha": "a"} and {"sha": null}',
        ),
        ("version", 1, 2, "task version 1 and 2"),
        ("version", None, 2, "task version none and 2"),
        ("generation", {"t": 0}, {"t": 1}, 'generation settings {"t": 0} and {"t": 1}'),
        ("filters", ["a"], ["b"], 'filters ["a"] and ["b"]'),
    ],
)
def test_settings_that_differ_are_refused_or_noted(name: str, before: Any, after: Any, words: str) -> None:
    message = refused(settings_of({name: before}, {name: after}))
    words = words.replace('{"shots": 0, "seed": null}', '{"seed": null, "shots": 0}')
    words = words.replace('{"shots": 5, "seed": 1}', '{"seed": 1, "shots": 5}')
    assert message == f"base and target are not comparable: gsm8k: {words}; accept it by --allow {name}"
    allowed = settings_of({name: before}, {name: after}, name)
    assert allowed.notes == [f"gsm8k: {words}"]
    allowed.check()


def test_settings_that_one_log_does_not_say_are_not_compared() -> None:
    assert not settings_of({"shots": 0}, {"version": 1}).refused
    assert not settings_of({"shots": (0, 1)}, {"shots": [0, 1]}).refused


def test_every_setting_that_differs_is_in_the_refusal() -> None:
    before = {"shots": 0, "limit": 1, "version": 1}
    after = {"shots": 5, "limit": 2, "version": 1}
    assert refused(settings_of(before, after)) == (
        "base and target are not comparable: gsm8k: shots 0 and 5; gsm8k: limit 1 and 2; accept them by "
        "--allow shots --allow limit"
    )


def test_a_log_that_grows_may_have_another_limit() -> None:
    assert not settings_of({"limit": 9}, {"limit": 3}, looks=2).refused
    assert settings_of({"limit": 9}, {"limit": 3}, looks=1).refused


def test_long_settings_are_cut() -> None:
    message = refused(settings_of({"filters": "a" * 121}, {"filters": "b" * 120}))
    assert f"filters {'a' * 120}… and {'b' * 120}; accept" in message


def test_a_direction_that_differs_cannot_be_allowed() -> None:
    logs = (
        log_of("base", {"gsm8k": rows_of([1.0])}, higher_is_better={"em": True, "f1": True}),
        log_of("target", {"gsm8k": rows_of([1.0])}, higher_is_better={"em": False}),
    )
    differences = differences_of()
    (paired,) = pair_task("gsm8k", *logs, Rules(), differences)
    assert paired.higher_is_better == {"em": True, "f1": True}
    assert refused(differences) == (
        "base and target are not comparable: gsm8k: metric em is better when higher in one log and not "
        "in the other"
    )


@pytest.mark.parametrize("better", [True, False])
def test_the_direction_of_either_log_counts(better: bool) -> None:
    logs = (
        log_of("base", {"gsm8k": rows_of([1.0])}, higher_is_better={}),
        log_of("target", {"gsm8k": rows_of([1.0])}, higher_is_better={"em": better}),
    )
    differences = differences_of()
    (paired,) = pair_task("gsm8k", *logs, Rules(), differences)
    assert paired.higher_is_better["em"] is better
    assert not differences.refused


def test_filters_of_one_log_alone_are_a_difference() -> None:
    base = [*rows_of([1.0]), *rows_of([1.0], filter="strict")]
    target = [*rows_of([1.0]), *rows_of([1.0], filter="loose")]
    logs = log_of("base", {"gsm8k": base}), log_of("target", {"gsm8k": target})
    differences = differences_of()
    assert [paired.filter for paired in pair_task("gsm8k", *logs, Rules(), differences)] == [""]
    assert refused(differences) == (
        "base and target are not comparable: gsm8k: filter 'loose', 'strict' is in only one of the logs; "
        "accept "
        "it by "
        "--allow filters"
    )


def test_without_a_common_filter_nothing_can_be_allowed() -> None:
    logs = (
        log_of("base", {"a": rows_of([1.0], filter="x")}),
        log_of("target", {"a": rows_of([1.0], filter="y")}),
    )
    differences = differences_of("filters")
    assert pair_task("a", *logs, Rules(), differences) == []
    assert refused(differences) == (
        "base and target are not comparable: a: filter 'x', 'y' is in only one of the logs"
    )


def test_samples_without_a_common_one_are_refused_with_examples() -> None:
    logs = log_of("base", {"a": rows_of([1.0] * 2)}), log_of("target", {"a": rows_of([1.0] * 4, first=9)})
    differences = differences_of()
    assert pair_task("a", *logs, Rules(), differences) == []
    assert refused(differences) == (
        'base and target are not comparable: a: no sample in common: "0", "1" and "9", "10", "11" and 1 more'
    )


def test_metrics_of_one_log_alone_are_noted_or_refused() -> None:
    differences = differences_of()
    paired = paired_of([Row("0", {"em": 1.0, "f1": 1.0})], [Row("0", {"em": 1.0})], differences=differences)
    assert paired.metrics == ("em",)
    assert differences.notes == ["gsm8k: metric f1 is in only one of the logs"]
    logs = log_of("base", {"a": rows_of([1.0], filter="s")}), log_of("target", {"a": [Row("0", {}, "s")]})
    assert pair_task("a", *logs, Rules(), differences) == []
    assert refused(differences) == (
        "base and target are not comparable: a (s): no metric in common: the base has em, the target has none"
    )


def test_a_metric_that_is_no_number_is_noted() -> None:
    texts = [Row(str(at), {"em": 1.0}, not_numbers=("bleu",)) for at in range(3)]
    differences = differences_of()
    paired = paired_of(texts, texts[:2] + rows_of([1.0], first=2), differences=differences)
    assert paired.metrics == ("em",)
    assert differences.notes == [
        "gsm8k: bleu is not a number in 3 samples of the base and 2 of the target, so these are not judged"
    ]


def test_a_value_that_is_a_text_in_some_samples_is_missing_there() -> None:
    base = [Row("0", {"em": 1.0}), Row("1", {}, not_numbers=("em",))]
    differences = differences_of()
    paired = paired_of(base, base, differences=differences)
    assert differences.notes == []
    assert pair_scores(paired, "em", Rules(), differences) is None
    assert 'gsm8k/em: of 2 samples 1 have no score in either log ("1")' in refused(differences)


def test_a_log_that_holds_fewer_samples_than_it_ran_is_noted() -> None:
    logs = (
        log_of("base", {"a": rows_of([1.0] * 3)}, samples=1319),
        log_of("target", {"a": rows_of([1.0] * 3)}, samples=3),
    )
    differences = differences_of()
    pair_task("a", *logs, Rules(), differences)
    assert differences.notes == ["a: base says that 1,319 samples ran, but has 3"]


@pytest.mark.parametrize(("stated", "is_refused"), [(1319, True), (2, False)])
def test_both_logs_hold_other_counts_than_they_ran(stated: int, is_refused: bool) -> None:
    logs = [log_of(name, {"a": rows_of([1.0] * 3)}, samples=stated) for name in ("base", "target")]
    lines = [f"{name} says that {stated:,} samples ran, but has 3" for name in ("base", "target")]
    differences = differences_of()
    pair_task("a", *logs, Rules(), differences)
    assert differences.refused is is_refused
    if is_refused:
        assert refused(differences).startswith(f"a: {'; '.join(lines)}: --missing drop")
    else:
        assert differences.notes == [f"a: {line}" for line in lines]
    accepted = differences_of()
    pair_task("a", *logs, Rules(missing="drop"), accepted)
    assert accepted.notes == [f"a: {line}" for line in lines]


# ---- documents, prompts, targets


@pytest.mark.parametrize("key", ["document", "prompt", "target"])
def test_samples_that_ask_something_else_are_refused(key: str) -> None:
    base = [Row(str(at), {"em": 1.0}, keys={key: f"same {at}"}) for at in range(6)]
    target = [
        Row(str(at), {"em": 1.0}, keys={key: f"{'same' if at == 3 else 'other'} {at}"}) for at in range(6)
    ]
    differences = differences_of()
    paired_of(base, target, differences=differences)
    assert refused(differences) == (
        f'base and target are not comparable: gsm8k: {key}s differ in 5 of 6 samples ("0", "1", "2" and '
        f"2 more); "
        f"accept it by --allow {key}"
    )
    allowed = differences_of(key)
    paired_of(base, target, differences=allowed)
    assert allowed.notes == [f'gsm8k: {key}s differ in 5 of 6 samples ("0", "1", "2" and 2 more)']


def test_what_one_log_does_not_hold_is_not_compared() -> None:
    base = [Row("0", {"em": 1.0}, keys={"prompt": "a", "target": "t"})]
    differences = differences_of()
    paired_of(base, [Row("0", {"em": 1.0}, keys={"document": "d", "target": "t"})], differences=differences)
    assert not differences.refused


def prompted(prompt: str, target: str = "t") -> Row:
    return Row("0", {"em": 1.0}, keys={"prompt": prompt, "target": target}, prompt=prompt, target=target)


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("What is 2+3=", "What is 2+4=", 'first "What is 2+3=" and "What is 2+4="'),
        ("x" * 25 + "abc", "x" * 25 + "def", f'first "…{"x" * 20}abc" and "…{"x" * 20}def"'),
        ("x" * 20 + "a" * 50, "x" * 20 + "b", f'first "{"x" * 20}{"a" * 40}" and "{"x" * 20}b"'),
        ("same", "same and more", 'first "same" and "same and more"'),
    ],
)
def test_the_first_prompts_that_differ_are_quoted(before: str, after: str, shown: str) -> None:
    differences = differences_of()
    paired_of([prompted(before)], [prompted(after)], differences=differences)
    assert f'prompts differ in 1 of 1 sample ("0"), {shown}; accept' in refused(differences)


def test_targets_are_quoted_and_documents_are_not() -> None:
    differences = differences_of()
    paired_of([prompted("p", "yes")], [prompted("p", "no")], differences=differences)
    assert 'targets differ in 1 of 1 sample ("0"), first "yes" and "no"; accept' in refused(differences)


def test_texts_that_are_not_there_are_not_quoted() -> None:
    base = Row("0", {"em": 1.0}, keys={"prompt": "a"}, prompt="a")
    target = Row("0", {"em": 1.0}, keys={"prompt": "b"})
    differences = differences_of()
    paired_of([base], [target], differences=differences)
    assert 'sample ("0"); accept it' in refused(differences)


def test_a_kept_prompt_is_compared_by_the_end_that_is_kept() -> None:
    long = "x" * 900
    row = Row("0", {"em": 1.0}, keys={"prompt": Digest(7)}, prompt=f"{long}2+3="[-400:])
    differences = differences_of()
    paired_of([row], [prompted(f"{long}2+4=")], differences=differences)
    assert f'first "…{"x" * 18}2+3=" and "…{"x" * 18}2+4="' in refused(differences)


def test_rows_in_another_order_are_matched_by_id() -> None:
    base = [Row(str(at), {"em": float(at % 2)}, keys={"prompt": str(at)}) for at in (3, 0, 2, 1)]
    target = [Row(str(at), {"em": float(at % 2)}, keys={"prompt": str(at)}) for at in (1, 2, 0, 3)]
    differences = differences_of()
    paired = paired_of(base, target, differences=differences)
    assert paired.base_rows.tolist() == [0, 1, 2, 3]
    assert paired.target_rows.tolist() == [3, 2, 1, 0]
    assert not differences.refused
    scores = pair_scores(paired, "em", Rules(), differences)
    assert scores is not None
    assert scores.base.tolist() == scores.target.tolist() == [1.0, 0.0, 0.0, 1.0]


def test_differences_of_many_tasks_are_in_one_message() -> None:
    names = ["a", "b", "c", "d", "e"]
    base = log_of("base", dict.fromkeys(names, rows_of([1.0], keys={"prompt": "p"})), settings={"shots": 0})
    target = log_of(
        "target", dict.fromkeys(names, rows_of([None], keys={"prompt": "q"})), settings={"shots": 5}
    )
    differences = differences_of()
    for name in list_shared_tasks(base, target, differences):
        for paired in pair_task(name, base, target, Rules(), differences):
            assert pair_scores(paired, "em", Rules(), differences) is None
    assert refused(differences) == (
        "base and target are not comparable: a, b, c and 2 more: shots 0 and 5; a, b, c and 2 more: "
        "prompts differ in "
        '1 of 1 sample ("0"); accept them by --allow shots --allow prompt; and a/em, b/em, c/em and 2 more: '
        'of 1 sample 1 have no score in the target\'s log ("0"): --missing drop leaves them out, --missing '
        "as-wrong counts those that only the target lacks as wrong"
    )


def test_a_long_list_of_differences_ends() -> None:
    differences = differences_of()
    for at in range(10):
        differences.add("prompt", f"task{at}", f"prompts differ in {at} samples")
    differences.refuse("task9", "no metric in common")
    message = refused(differences)
    assert message.count("prompts differ") == 8
    assert message.endswith("; and 3 more like these; accept the rest by --allow prompt")


# ---- scores that are missing

SCORED = [1.0, 0.0, 1.0, 0.0]


def counts_of(
    base: Sequence[Row], target: Sequence[Row], rules: Rules, **more: Any
) -> tuple[Counts, list[list[float]], Differences]:
    differences = differences_of()
    paired = paired_of(base, target, rules=rules, differences=differences, **more)
    scores = pair_scores(paired, "em", rules, differences)
    assert scores is not None
    assert not differences.refused
    return scores.counts, [scores.base.tolist(), scores.target.tolist()], differences


def test_nothing_is_missing_where_every_sample_has_a_score() -> None:
    counts, scores, differences = counts_of(rows_of(SCORED), rows_of(SCORED[::-1]), Rules())
    assert counts == Counts(judged=4)
    assert counts.missing == 0
    assert scores == [SCORED, SCORED[::-1]]
    assert differences.notes == []


MISSING: dict[str, tuple[Scores, Scores, str, Counts]] = {
    "in the base": ([None, 0.0], [1.0, 0.0], "1 have no score in the base's log", Counts(1, unscored_base=1)),
    "in the target": (
        [1.0, 0.0],
        [None, 0.0],
        "1 have no score in the target's log",
        Counts(1, unscored_target=1),
    ),
    "in both": ([None, 0.0], [None, 0.0], "1 have no score in either log", Counts(1, unscored_both=1)),
    "as NaN in both": (
        [float("nan"), 0.0],
        [None, 0.0],
        "1 have no score in either log",
        Counts(1, unscored_both=1),
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_score_that_is_missing_in_one_log_or_both_is_one_rule(name: str) -> None:
    before, after, words, counts = MISSING[name]
    base, target = rows_of(before), rows_of(after)
    differences = differences_of()
    assert pair_scores(paired_of(base, target), "em", Rules(), differences) is None
    assert refused(differences) == (
        f'gsm8k/em: of 2 samples {words} ("0"): --missing drop leaves them out, --missing as-wrong '
        "counts those that only the target lacks as wrong"
    )
    dropped, scores, noted = counts_of(base, target, Rules(missing="drop"))
    assert dropped == counts
    assert dropped.missing == 1
    assert scores == [[0.0], [0.0]]
    assert noted.notes == [f'gsm8k/em: of 2 samples {words} ("0"): left out (--missing drop)']


def test_missing_scores_as_wrong_are_the_worst_value() -> None:
    base, target = rows_of([1.0, None, None, 1.0]), rows_of([None, 1.0, None, 1.0])
    counts, scores, noted = counts_of(base, target, Rules(missing="as-wrong"))
    assert counts == Counts(2, unscored_base=1, unscored_target=1, unscored_both=1)
    assert counts.missing == 3
    assert scores == [[1.0, 1.0], [0.0, 1.0]]
    assert noted.notes == [
        "gsm8k/em: of 4 samples 1 have no score in the base's log, 1 have no score in the target's log, "
        "1 have no "
        'score in either log ("0", "1", "2"): wrong if only the target has no score, left out if the base '
        "has none (--missing as-wrong)"
    ]


def test_of_an_error_the_worst_value_is_one() -> None:
    rows = [rows_of(scores, metric="wer") for scores in ([0.2, None], [None, 0.3])]
    differences = differences_of()
    rules = Rules(missing="as-wrong")
    scores = pair_scores(paired_of(*rows), "wer", rules, differences)
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
    rows = [rows_of(scores, metric=metric) for scores in ([0.2, 0.3], [None, 0.3])]
    paired = replace(paired_of(*rows), higher_is_better={metric: metric == "em"})
    expected = re.escape(
        f"gsm8k/{metric}: scores from {ends[0]:g} to {ends[1]:g} have another worst value than {wrong}"
    )
    with pytest.raises(DataError, match=f"^{expected}; --missing as-wrong needs scores from 0 to 1; leave"):
        pair_scores(paired, metric, Rules(missing="as-wrong"), differences_of(), ends)


@pytest.mark.parametrize(
    ("metric", "ends", "wrong"),
    [
        pytest.param("em", (0.0, 5.0), 0.0, id="from-0"),
        pytest.param("wer", (0.0, inf), 1.0, id="with-a-cap-of-1"),
        pytest.param("loss", (-1.0, 1.0), 1.0, id="up-to-1"),
    ],
)
def test_a_range_with_the_same_worst_value_is_judged(metric: str, ends: Range, wrong: float) -> None:
    rows = [rows_of(scores, metric=metric) for scores in ([0.2, 0.3], [None, 0.3])]
    paired = replace(paired_of(*rows), higher_is_better={metric: metric == "em"})
    scores = pair_scores(paired, metric, Rules(missing="as-wrong"), differences_of(), ends)
    assert scores is not None
    assert scores.target.tolist() == [wrong, 0.3]


def test_samples_of_one_log_alone_are_counted_with_examples() -> None:
    base, target = rows_of(SCORED), rows_of(SCORED[1:], first=1)
    differences = differences_of()
    assert pair_scores(paired_of(base, target), "em", Rules(), differences) is None
    assert 'gsm8k/em: of 4 samples 1 are only in the base\'s log ("0"): --missing' in refused(differences)
    differences = differences_of()
    assert pair_scores(paired_of(target, base), "em", Rules(), differences) is None
    assert 'gsm8k/em: of 4 samples 1 are only in the target\'s log ("0"): --missing' in refused(differences)
    counts, scores, _ = counts_of(base, target, Rules(missing="drop"))
    assert counts == Counts(3, only_base=1)
    assert scores == [SCORED[1:]] * 2


def test_a_hole_of_the_base_never_makes_room_for_the_target() -> None:
    base: list[float | None] = [1.0] * 90 + [None] * 10
    target = [0.0] * 10 + [1.0] * 90
    counts, scores, _ = counts_of(rows_of(base), rows_of(target), Rules(missing="as-wrong"))
    assert counts == Counts(90, unscored_base=10)
    assert np.mean(scores[0]) - np.mean(scores[1]) == pytest.approx(10 / 90)


def test_samples_of_the_base_alone_are_wrong_in_the_target() -> None:
    base, target = rows_of([1.0, 1.0]), rows_of([0.0, 1.0], first=1)
    differences = differences_of()
    rules = Rules(missing="as-wrong")
    scores = pair_scores(paired_of(base, target, rules=rules), "em", rules, differences)
    assert scores is not None
    assert scores.counts == Counts(2, only_base=1, only_target=1)
    assert scores.base_rows.tolist() == [1, 0]
    assert scores.target_rows.tolist() == [0, -1]
    assert scores.base.tolist() == [1.0, 1.0]
    assert scores.target.tolist() == [0.0, 0.0]


def test_both_kinds_of_missing_samples_are_in_one_count() -> None:
    base, target = rows_of([None, 1.0, 1.0, 1.0]), rows_of([1.0, 1.0, 1.0, 1.0], first=0)[:3]
    differences = differences_of()
    assert pair_scores(paired_of(base, target), "em", Rules(), differences) is None
    assert (
        "gsm8k/em: of 4 samples 1 are only in the base's log, 1 have no score in the base's log "
        '("0"): --missing' in refused(differences)
    )


@pytest.mark.parametrize("worst", [-0.1, 1.5])
def test_scores_of_any_range_have_no_worst_value(worst: float) -> None:
    paired = paired_of(rows_of([worst, 1.0]), rows_of([None, 1.0]))
    low, high = min(worst, 1.0), max(worst, 1.0)
    expected = re.escape(
        f"gsm8k/em: scores from {low:g} to {high:g} have no value that is wrong; --missing as-wrong "
        f"needs scores "
        "from 0 to 1"
    )
    with pytest.raises(DataError, match=f"^{expected}$"):
        pair_scores(paired, "em", Rules(missing="as-wrong"), differences_of())


def test_without_any_score_nothing_is_judged() -> None:
    failed = [Row("0", {"em": None}, error="time-out  of\nthe server")]
    paired = paired_of(failed, failed)
    with pytest.raises(DataError) as error:
        pair_scores(paired, "em", Rules(missing="drop"), differences_of())
    assert str(error.value) == (
        'gsm8k/em: no sample has a score in both logs, first error "time-out of the server"'
    )
    with pytest.raises(DataError) as error:
        pair_scores(paired, "em", Rules(missing="as-wrong"), differences_of())
    assert str(error.value) == (
        'gsm8k/em: no sample has a score in the base\'s log, first error "time-out of the server"; run the '
        "base again"
    )


def test_the_error_of_a_failed_sample_is_quoted() -> None:
    base = [*rows_of([1.0, 1.0]), Row("2", {"em": None}, error="base's error")]
    target = [*rows_of([1.0]), Row("1", {"em": None}, error="e" * 130), Row("2", {"em": 1.0})]
    differences = differences_of()
    assert pair_scores(paired_of(base, target), "em", Rules(), differences) is None
    assert f'("1", "2"), first error "{"e" * 120}": --missing' in refused(differences)
    differences = differences_of()
    assert pair_scores(paired_of(base, rows_of([1.0] * 3)), "em", Rules(), differences) is None
    assert '("2"), first error "base\'s error": --missing' in refused(differences)
    differences = differences_of()
    silent = [Row("0", {"em": None}, error=""), Row("1", {"em": 1.0})]
    assert pair_scores(paired_of(silent, silent), "em", Rules(), differences) is None
    assert '("0"): --missing' in refused(differences)


def test_an_optional_metric_is_not_missing_where_it_is_not() -> None:
    rows = [*rows_of([1.0, 0.0]), Row("2", {"tone": 1.0}), Row("3", {"tone": 0.0})]
    counts, scores, _ = counts_of(rows, rows, Rules(), optional_metrics=True)
    assert counts == Counts(2, not_of_metric=2)
    assert counts.missing == 0
    assert scores == [[1.0, 0.0]] * 2
    differences = differences_of()
    assert pair_scores(paired_of(rows, rows), "em", Rules(), differences) is None
    assert "gsm8k/em: of 4 samples 2 have no score in either log" in refused(differences)


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
    counts, _, _ = counts_of([first, before], [first, after], Rules(missing="drop"), optional_metrics=True)
    assert counts == expected


def test_samples_that_a_metric_is_not_of_are_never_wrong() -> None:
    base = [Row("0", {"em": 1.0}), Row("1", {"f": 1.0}), Row("2", {"f": 1.0}), Row("3", {"em": None})]
    rules = Rules(missing="as-wrong")
    counts, scores, _ = counts_of(base, base[:2], rules, optional_metrics=True)
    # row 2 is in the base alone and is not of the metric; row 3 has no score in the base
    assert counts == Counts(1, only_base=2, not_of_metric=1)
    assert scores == [[1.0], [1.0]]


def test_answers_that_were_cut_off_are_counted() -> None:
    base = [Row("0", {"em": 1.0}, truncated=True), Row("1", {"em": 1.0}, truncated=True)]
    target = [Row("0", {"em": 1.0}), Row("1", {"em": 1.0}, truncated=True)]
    counts, _, _ = counts_of(base, target, Rules())
    assert counts == Counts(2, truncated_base=2, truncated_target=1)


def test_samples_that_a_growing_log_has_not_run_are_not_missing() -> None:
    base, target = rows_of(SCORED), rows_of(SCORED[:2])
    for missing in ("fail", "as-wrong"):
        counts, scores, _ = counts_of(base, target, Rules(looks=2, missing=missing))  # type: ignore[arg-type]
        assert counts == Counts(2, not_run=2)
        assert scores == [SCORED[:2]] * 2


def test_a_growing_log_may_still_lack_scores() -> None:
    counts, scores, _ = counts_of(rows_of(SCORED), rows_of([None, 0.0]), Rules(looks=2, missing="as-wrong"))
    assert counts == Counts(2, not_run=2, unscored_target=1)
    assert scores == [[1.0, 0.0], [0.0, 0.0]]


def test_groups_of_either_log_count() -> None:
    target = [Row("0", {"em": 1.0}, cluster="a"), Row("1", {"em": 1.0}, cluster="a")]
    base = [*target, Row("2", {"em": 1.0}, cluster="b")]
    rules, differences = Rules(missing="as-wrong"), differences_of()
    scores = pair_scores(paired_of(base, target, rules=rules), "em", rules, differences)
    assert scores is not None
    assert scores.clusters is not None
    assert len(np.unique(scores.clusters)) == 2
    assert scores.clusters[0] == scores.clusters[1]
    bare = [Row(row.id, row.scores) for row in base]
    for sides in ((base, bare[:2]), (bare, target)):
        scores = pair_scores(paired_of(*sides, rules=rules), "em", rules, differences)
        assert scores is not None
        assert scores.clusters is not None
        assert scores.clusters[0] == scores.clusters[1] != scores.clusters[2]
    scores = pair_scores(paired_of(bare, bare), "em", rules, differences)
    assert scores is not None
    assert scores.clusters is None


def grouped(*groups: str | None) -> list[Row]:
    return [Row(f"q{at}", {"em": 1.0}, cluster=group) for at, group in enumerate(groups)]


@pytest.mark.parametrize(
    ("base", "target", "differing"),
    [
        pytest.param(grouped(*"aabb"), grouped(*"xxyy"), None, id="the same under other names"),
        pytest.param(grouped(*"aabb"), grouped("x", "x", None, None), None, id="some rows have none"),
        pytest.param(grouped("q0", "q1", "q2", "q3"), grouped(*"aabb"), None, id="names of the samples"),
        pytest.param(grouped(*"abcd"), grouped(*"xxyy"), ("q1", "q3"), id="finer in the base"),
        pytest.param(grouped(*"aaaa"), grouped(*"xxyy"), ("q2", "q3"), id="finer in the target"),
        pytest.param(grouped(*"aabb"), grouped(*"xyyx"), ("q1", "q2", "q3"), id="crossed"),
    ],
)
def test_groups_that_differ_are_refused(
    base: list[Row], target: list[Row], differing: tuple[str, ...] | None
) -> None:
    differences = differences_of()
    paired = paired_of(base, target, differences=differences)
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
    scores = pair_scores(paired_of(base, base), "em", rules, differences_of())
    assert scores is not None
    assert len(scores.documents) == 3
    assert scores.documents[0] == scores.documents[1] != scores.documents[2]
    scores = pair_scores(paired_of(rows_of(SCORED), rows_of(SCORED)), "em", Rules(), differences_of())
    assert scores is not None
    assert scores.documents.tolist() == [-1, -2, -3, -4]


def test_a_kept_base_has_the_same_holes(tmp_path: Any) -> None:
    rows = [Row("0", {"em": 1.0}), Row("1", {"em": None}), Row("2", {"f": 1.0}), Row("3", {})]
    log = log_of("base", {"gsm8k": rows}, optional_metrics=True, samples=9)
    write_base_log(log, tmp_path / "base.parquet")
    stored = read_base_log(tmp_path / "base.parquet", "kept")
    assert (stored.tasks["gsm8k"].optional_metrics, stored.tasks["gsm8k"].samples) == (True, 9)
    counts = []
    for base in (log, stored):
        (paired,) = pair_task("gsm8k", base, log, Rules(), differences_of())
        scores = pair_scores(paired, "em", Rules(missing="drop"), differences_of())
        assert scores is not None
        counts.append(scores.counts)
    assert counts == [Counts(1, unscored_both=2, not_of_metric=1)] * 2
