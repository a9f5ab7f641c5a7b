"""Tasks, settings and samples of two logs, matched and compared: what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from support.paired_logs import make_differences, make_log, make_rows, pair_rows, read_refusal

from slimgate.errors import DataError
from slimgate.logs.pairs import list_shared_tasks, pair_task
from slimgate.logs.rules import Differences, Rules, check_allowed
from slimgate.logs.score_pairs import format_comparison_name, pair_scores
from slimgate.plugins.reader import Digest, Row

# ---- options and names


def test_what_may_differ_has_a_name() -> None:
    check_allowed(["prompt", "tasks", "limit"])
    with pytest.raises(DataError) as error:
        check_allowed(["shot"])
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
    base = make_log("base", {name: [] for name in "abcde"})
    target = make_log("target", {"a": [], "x": []})
    differences = make_differences()
    assert list_shared_tasks(base, target, differences) == ["a"]
    assert read_refusal(differences) == (
        "base and target are not comparable: target lacks the tasks b, c, d and 1 more; base lacks the "
        "task x; "
        "accept them by --allow tasks"
    )
    allowed = make_differences("tasks")
    assert list_shared_tasks(base, target, allowed) == ["a"]
    assert allowed.notes == ["target lacks the tasks b, c, d and 1 more", "base lacks the task x"]
    assert not allowed.has_refused


def test_logs_without_a_common_task_are_refused_at_once() -> None:
    base, target = make_log("base", {"a": []}), make_log("target", {"x": []})
    with pytest.raises(DataError, match=r"no task in common: target lacks the task a; base lacks the task x"):
        list_shared_tasks(base, target, make_differences("tasks"))


def test_the_same_tasks_are_no_difference() -> None:
    base, target = make_log("base", {"a": [], "b": []}), make_log("target", {"b": [], "a": []})
    differences = make_differences()
    assert list_shared_tasks(base, target, differences) == ["a", "b"]
    assert (differences.notes, differences.has_refused) == ([], False)


# ---- settings, directions, filters, metrics


def compare_settings(
    before: Mapping[str, Any], after: Mapping[str, Any], *allow: str, analyses: int = 1
) -> Differences:
    logs = (
        make_log("base", {"gsm8k": make_rows([1.0])}, settings=before),
        make_log("target", {"gsm8k": make_rows([1.0])}, settings=after),
    )
    differences = make_differences(*allow)
    assert len(pair_task("gsm8k", *logs, Rules(analyses=analyses), differences)) == 1
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
    message = read_refusal(compare_settings({name: before}, {name: after}))
    words = words.replace('{"shots": 0, "seed": null}', '{"seed": null, "shots": 0}')
    words = words.replace('{"shots": 5, "seed": 1}', '{"seed": 1, "shots": 5}')
    assert message == f"base and target are not comparable: gsm8k: {words}; accept it by --allow {name}"
    allowed = compare_settings({name: before}, {name: after}, name)
    assert allowed.notes == [f"gsm8k: {words}"]
    allowed.check()


def test_settings_that_one_log_does_not_say_are_not_compared() -> None:
    assert not compare_settings({"shots": 0}, {"version": 1}).has_refused
    assert not compare_settings({"shots": (0, 1)}, {"shots": [0, 1]}).has_refused


def test_every_setting_that_differs_is_in_the_refusal() -> None:
    before = {"shots": 0, "limit": 1, "version": 1}
    after = {"shots": 5, "limit": 2, "version": 1}
    assert read_refusal(compare_settings(before, after)) == (
        "base and target are not comparable: gsm8k: shots 0 and 5; gsm8k: limit 1 and 2; accept them by "
        "--allow shots --allow limit"
    )


def test_a_log_that_grows_may_have_another_limit() -> None:
    assert not compare_settings({"limit": 9}, {"limit": 3}, analyses=2).has_refused
    assert compare_settings({"limit": 9}, {"limit": 3}, analyses=1).has_refused


def test_long_settings_are_cut() -> None:
    message = read_refusal(compare_settings({"filters": "a" * 121}, {"filters": "b" * 120}))
    assert f"filters {'a' * 120}… and {'b' * 120}; accept" in message


def test_a_direction_that_differs_cannot_be_allowed() -> None:
    logs = (
        make_log("base", {"gsm8k": make_rows([1.0])}, higher_is_better={"em": True, "f1": True}),
        make_log("target", {"gsm8k": make_rows([1.0])}, higher_is_better={"em": False}),
    )
    differences = make_differences()
    (paired,) = pair_task("gsm8k", *logs, Rules(), differences)
    assert paired.higher_is_better == {"em": True, "f1": True}
    assert read_refusal(differences) == (
        "base and target are not comparable: gsm8k: metric em is better when higher in one log and not "
        "in the other"
    )


@pytest.mark.parametrize(
    ("metric", "better", "refused"),
    [("em", True, False), ("em", False, True), ("harm", True, False), ("harm", False, False)],
    ids=["as the name", "against the name", "unknown name, higher", "unknown name, lower"],
)
def test_the_direction_of_either_log_counts(metric: str, better: bool, refused: bool) -> None:
    rows = make_rows([1.0], metric=metric)
    logs = (
        make_log("base", {"gsm8k": rows}, higher_is_better={}),
        make_log("target", {"gsm8k": rows}, higher_is_better={metric: better}),
    )
    differences = make_differences()
    (paired,) = pair_task("gsm8k", *logs, Rules(), differences)
    assert paired.higher_is_better[metric] is better
    assert bool(differences.has_refused) is refused


def test_both_logs_may_state_a_direction_against_the_name() -> None:
    rows = make_rows([1.0])
    logs = [make_log(name, {"gsm8k": rows}, higher_is_better={"em": False}) for name in ("base", "target")]
    differences = make_differences()
    (paired,) = pair_task("gsm8k", *logs, Rules(), differences)
    assert paired.higher_is_better == {"em": False}
    assert not differences.has_refused


def test_filters_of_one_log_alone_are_a_difference() -> None:
    base = [*make_rows([1.0]), *make_rows([1.0], filter="strict")]
    target = [*make_rows([1.0]), *make_rows([1.0], filter="loose")]
    logs = make_log("base", {"gsm8k": base}), make_log("target", {"gsm8k": target})
    differences = make_differences()
    assert [paired.filter for paired in pair_task("gsm8k", *logs, Rules(), differences)] == [""]
    assert read_refusal(differences) == (
        "base and target are not comparable: gsm8k: filter 'loose', 'strict' is in only one of the logs; "
        "accept "
        "it by "
        "--allow filters"
    )


def test_without_a_common_filter_nothing_can_be_allowed() -> None:
    logs = (
        make_log("base", {"a": make_rows([1.0], filter="x")}),
        make_log("target", {"a": make_rows([1.0], filter="y")}),
    )
    differences = make_differences("filters")
    assert pair_task("a", *logs, Rules(), differences) == []
    assert read_refusal(differences) == (
        "base and target are not comparable: a: filter 'x', 'y' is in only one of the logs"
    )


def test_samples_without_a_common_one_are_refused_with_examples() -> None:
    logs = (
        make_log("base", {"a": make_rows([1.0] * 2)}),
        make_log("target", {"a": make_rows([1.0] * 4, first=9)}),
    )
    differences = make_differences()
    assert pair_task("a", *logs, Rules(), differences) == []
    assert read_refusal(differences) == (
        'base and target are not comparable: a: no sample in common: "0", "1" and "9", "10", "11" and 1 more'
    )


def test_texts_of_one_log_alone_are_noted() -> None:
    differences = make_differences()
    pair_rows(
        [Row("0", {"em": 1.0}, keys={"prompt": "2+3="})], [Row("0", {"em": 1.0})], differences=differences
    )
    assert differences.notes == ["gsm8k: prompts are in only one of the logs, so they were not compared"]


def test_metrics_of_one_log_alone_are_noted_or_refused() -> None:
    differences = make_differences()
    paired = pair_rows([Row("0", {"em": 1.0, "f1": 1.0})], [Row("0", {"em": 1.0})], differences=differences)
    assert paired.metrics == ("em",)
    assert differences.notes == ["gsm8k: metric f1 is in only one of the logs"]
    logs = (
        make_log("base", {"a": make_rows([1.0], filter="s")}),
        make_log("target", {"a": [Row("0", {}, "s")]}),
    )
    assert pair_task("a", *logs, Rules(), differences) == []
    assert read_refusal(differences) == (
        "base and target are not comparable: a (s): no metric in common: the base has em, the target has none"
    )


def test_a_metric_that_is_no_number_is_noted() -> None:
    texts = [Row(str(at), {"em": 1.0}, not_numbers=("bleu",)) for at in range(3)]
    differences = make_differences()
    paired = pair_rows(texts, texts[:2] + make_rows([1.0], first=2), differences=differences)
    assert paired.metrics == ("em",)
    assert differences.notes == [
        "gsm8k: bleu is not a number in 3 samples of the base and 2 of the target, so these are not judged"
    ]


def test_a_value_that_is_a_text_in_some_samples_is_missing_there() -> None:
    base = [Row("0", {"em": 1.0}), Row("1", {}, not_numbers=("em",))]
    differences = make_differences()
    paired = pair_rows(base, base, differences=differences)
    assert differences.notes == []
    assert pair_scores(paired, "em", Rules(), differences) is None
    assert 'gsm8k/em: of 2 samples 1 has no score in either log ("1")' in read_refusal(differences)


def test_a_log_that_holds_fewer_samples_than_it_ran_is_noted() -> None:
    logs = (
        make_log("base", {"a": make_rows([1.0] * 3)}, samples=1319),
        make_log("target", {"a": make_rows([1.0] * 3)}, samples=3),
    )
    differences = make_differences()
    pair_task("a", *logs, Rules(), differences)
    assert differences.notes == ["a: base says that 1,319 samples ran, but has 3"]


@pytest.mark.parametrize(("stated", "is_refused"), [(1319, True), (2, False)])
def test_both_logs_hold_other_counts_than_they_ran(stated: int, is_refused: bool) -> None:
    logs = [make_log(name, {"a": make_rows([1.0] * 3)}, samples=stated) for name in ("base", "target")]
    lines = [f"{name} says that {stated:,} samples ran, but has 3" for name in ("base", "target")]
    differences = make_differences()
    pair_task("a", *logs, Rules(), differences)
    assert differences.has_refused is is_refused
    if is_refused:
        assert read_refusal(differences).startswith(f"a: {'; '.join(lines)}: --missing drop")
    else:
        assert differences.notes == [f"a: {line}" for line in lines]
    accepted = make_differences()
    pair_task("a", *logs, Rules(missing="drop"), accepted)
    assert accepted.notes == [f"a: {line}" for line in lines]


# ---- documents, prompts, targets


@pytest.mark.parametrize("key", ["document", "prompt", "target"])
def test_samples_that_ask_something_else_are_refused(key: str) -> None:
    base = [Row(str(at), {"em": 1.0}, keys={key: f"same {at}"}) for at in range(6)]
    target = [
        Row(str(at), {"em": 1.0}, keys={key: f"{'same' if at == 3 else 'other'} {at}"}) for at in range(6)
    ]
    differences = make_differences()
    pair_rows(base, target, differences=differences)
    assert read_refusal(differences) == (
        f'base and target are not comparable: gsm8k: {key}s differ in 5 of 6 samples ("0", "1", "2" and '
        f"2 more); "
        f"accept it by --allow {key}"
    )
    allowed = make_differences(key)
    pair_rows(base, target, differences=allowed)
    assert allowed.notes == [f'gsm8k: {key}s differ in 5 of 6 samples ("0", "1", "2" and 2 more)']


def test_what_one_log_does_not_hold_is_not_compared() -> None:
    base = [Row("0", {"em": 1.0}, keys={"prompt": "a", "target": "t"})]
    differences = make_differences()
    pair_rows(base, [Row("0", {"em": 1.0}, keys={"document": "d", "target": "t"})], differences=differences)
    assert not differences.has_refused


def make_prompted_row(prompt: str, target: str = "t") -> Row:
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
    differences = make_differences()
    pair_rows([make_prompted_row(before)], [make_prompted_row(after)], differences=differences)
    assert f'prompts differ in 1 of 1 sample ("0"), {shown}; accept' in read_refusal(differences)


def test_targets_are_quoted_and_documents_are_not() -> None:
    differences = make_differences()
    pair_rows([make_prompted_row("p", "yes")], [make_prompted_row("p", "no")], differences=differences)
    assert 'targets differ in 1 of 1 sample ("0"), first "yes" and "no"; accept' in read_refusal(differences)


def test_texts_that_are_not_there_are_not_quoted() -> None:
    base = Row("0", {"em": 1.0}, keys={"prompt": "a"}, prompt="a")
    target = Row("0", {"em": 1.0}, keys={"prompt": "b"})
    differences = make_differences()
    pair_rows([base], [target], differences=differences)
    assert 'sample ("0"); accept it' in read_refusal(differences)


def test_a_kept_prompt_is_compared_by_the_end_that_is_kept() -> None:
    long = "x" * 900
    row = Row("0", {"em": 1.0}, keys={"prompt": Digest(7)}, prompt=f"{long}2+3="[-400:])
    differences = make_differences()
    pair_rows([row], [make_prompted_row(f"{long}2+4=")], differences=differences)
    assert f'first "…{"x" * 18}2+3=" and "…{"x" * 18}2+4="' in read_refusal(differences)


def test_rows_in_another_order_are_matched_by_id() -> None:
    base = [Row(str(at), {"em": float(at % 2)}, keys={"prompt": str(at)}) for at in (3, 0, 2, 1)]
    target = [Row(str(at), {"em": float(at % 2)}, keys={"prompt": str(at)}) for at in (1, 2, 0, 3)]
    differences = make_differences()
    paired = pair_rows(base, target, differences=differences)
    assert paired.base_rows.tolist() == [0, 1, 2, 3]
    assert paired.target_rows.tolist() == [3, 2, 1, 0]
    assert not differences.has_refused
    scores = pair_scores(paired, "em", Rules(), differences)
    assert scores is not None
    assert scores.base.tolist() == scores.target.tolist() == [1.0, 0.0, 0.0, 1.0]


def test_differences_of_many_tasks_are_in_one_message() -> None:
    names = ["a", "b", "c", "d", "e"]
    base = make_log(
        "base", dict.fromkeys(names, make_rows([1.0], keys={"prompt": "p"})), settings={"shots": 0}
    )
    target = make_log(
        "target", dict.fromkeys(names, make_rows([None], keys={"prompt": "q"})), settings={"shots": 5}
    )
    differences = make_differences()
    for name in list_shared_tasks(base, target, differences):
        for paired in pair_task(name, base, target, Rules(), differences):
            assert pair_scores(paired, "em", Rules(), differences) is None
    assert read_refusal(differences) == (
        "base and target are not comparable: a, b, c and 2 more: shots 0 and 5; a, b, c and 2 more: "
        "prompts differ in "
        '1 of 1 sample ("0"); accept them by --allow shots --allow prompt; and a/em, b/em, c/em and 2 more: '
        'of 1 sample 1 has no score in the target\'s log ("0"): --missing drop leaves them out, --missing '
        "as-wrong counts those that only the target lacks as wrong"
    )


def test_a_long_list_of_differences_ends() -> None:
    differences = make_differences()
    for at in range(10):
        differences.add("prompt", f"task{at}", f"prompts differ in {at} samples")
    differences.refuse("task9", "no metric in common")
    message = read_refusal(differences)
    assert message.count("prompts differ") == 8
    assert message.endswith("; and 3 more like these; accept the rest by --allow prompt")
