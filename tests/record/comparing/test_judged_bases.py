"""`compare` and `accept` name what makes the base of judged files easier to reach."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.judge_command import judge_into
from support.lm_eval_logs import write_lm_eval
from support.load_test_files import make_vllm_result, write_vllm
from support.sample_record import change_variant

from slimgate.logs.answers import JudgedAnswers
from slimgate.logs.budgets import LogBudgets
from slimgate.logs.rules import Rules
from slimgate.logs.verdicts import judge_logs
from slimgate.plugins.reader import Log, Row, TaskLog
from slimgate.record.comparing import compare
from slimgate.record.comparing.base import describe_other_base, list_worse_values
from slimgate.record.comparing.budgets import find_verdict_changes, find_weaker
from slimgate.record.files import StoredRecord
from slimgate.results.base import Verdict

N = 800
POINTS = ("--drop-points", 5)
RESCORED = "the base's answers are the same, and its scores of acc differ: other rules score them"
# by name, the samples that get a 1
RULES = {"strict": lambda at: at % 5 > 0, "lenient": lambda at: at >= 0, "other": lambda at: at % 5 < 4}


def write_exam(
    folder: Path,
    *,
    target: str = "gold",
    prompt: str = "question",
    rule: str = "strict",
    answer: str | None = "answer",
    metric: str = "acc",
    reverse: bool = False,
) -> list[Path]:
    """Base and target with the same scores, and another answer to the first sample. rule: in RULES."""
    folder.mkdir()
    files = []
    for side in ("base", "int8"):
        rows: list[dict[str, object]] = [
            {
                "id": f"{at}",
                "metric": metric,
                "score": float(RULES[rule](at)),
                "prompt": f"{prompt} {at}",
                "target": f"{target} {at}",
                "lang": "en" if at % 2 else "de",
                **({} if answer is None else {"answer": f"{answer} {at % 7 if at else side}"}),
            }
            for at in range(N)
        ]
        files.append(folder / f"{side}.jsonl")
        lines = [json.dumps(row) for row in (reversed(rows) if reverse else rows)]
        files[-1].write_text("\n".join(lines), "utf-8")
    return files


def exam_record(folder: Path, options: Sequence[object] = POINTS, **exam: Any) -> StoredRecord:
    return judge_into(
        folder / "int8", [*write_exam(folder.with_name(f"logs-{folder.name}"), **exam), *options]
    )


def changes(old: StoredRecord, new: StoredRecord) -> list[str]:
    return [weakening.change for weakening in compare(old, new).weaker]


@pytest.mark.parametrize(
    ("exam", "named"),
    [
        pytest.param({}, [], id="the same exam"),
        pytest.param({"answer": "another"}, [], id="a base that is run again"),
        pytest.param({"answer": "another", "rule": "lenient"}, [], id="a better base"),
        pytest.param(
            {"target": "any"}, ["the targets of all samples in the base's log have changed"], id="targets"
        ),
        pytest.param(
            {"prompt": "hint"}, ["the prompts of all samples in the base's log have changed"], id="prompts"
        ),
        pytest.param({"rule": "lenient"}, [RESCORED], id="a lenient scorer"),
        pytest.param({"rule": "other"}, [RESCORED], id="another scorer with the same mean"),
        pytest.param(
            {"answer": None},
            ["the answers of all samples in the base's log are not judged now"],
            id="no answers",
        ),
    ],
)
def test_an_easier_exam_weakens_the_gate(tmp_path: Path, exam: dict[str, Any], named: list[str]) -> None:
    assert changes(exam_record(tmp_path / "v1"), exam_record(tmp_path / "v2", **exam)) == named


@pytest.mark.parametrize(
    "options",
    [("--slice", "lang", "--slice-points", 20), ("--pooled-points", 20)],
    ids=["a budget on slices", "a budget on all tasks together"],
)
def test_a_lenient_scorer_is_named_under_every_budget(tmp_path: Path, options: tuple[object, ...]) -> None:
    old, new = (
        exam_record(tmp_path / name, options, rule=rule)
        for name, rule in (("v1", "strict"), ("v2", "lenient"))
    )
    assert changes(old, new) == [RESCORED]


def test_scores_that_the_answers_do_not_decide_may_change(tmp_path: Path) -> None:
    options = (*POINTS, "--higher-is-better", "llm_judge")
    old, new = (
        exam_record(tmp_path / name, options, rule=rule, metric="llm_judge")
        for name, rule in (("v1", "strict"), ("v2", "lenient"))
    )
    assert changes(old, new) == []


def test_prompts_that_may_differ_are_no_weaker_gate(tmp_path: Path) -> None:
    old, new = (
        exam_record(tmp_path / name, (*POINTS, "--allow", "prompt"), prompt=name) for name in ("v1", "v2")
    )
    assert changes(old, new) == []


MORE = "the logs of base and target differ in more than before, and allow accepts it: "


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        (
            {},
            {"temperature": 1.0},
            'gsm8k: generation {"gen_kwargs": {}} and {"gen_kwargs": {"temperature": 1.0}}',
        ),
        (
            {"temperature": 0.2},
            {"temperature": 1.0},
            'gsm8k: generation {"gen_kwargs": {}} and {"gen_kwargs": {',
        ),
        ({"temperature": 1.0}, {"temperature": 1.0}, None),
        ({"temperature": 1.0}, {}, None),
    ],
    ids=["new", "other", "same", "none"],
)
def test_a_new_difference_that_allow_accepts_weakens_the_gate(
    tmp_path: Path, before: dict[str, float], now: dict[str, float], change: str | None
) -> None:
    """The target of the next release may write its answers with settings that the base had not."""
    scores, records = [float(at % 5 > 0) for at in range(N)], []
    for name, settings in (("v1", before), ("v2", now)):
        base, target = (
            write_lm_eval(
                tmp_path / name / side,
                {"gsm8k": scores},
                results={
                    "configs": {"gsm8k": {"generation_kwargs": {}}},
                    "config": {"gen_kwargs": settings if side == "int8" else {}},
                },
            )
            for side in ("base", "int8")
        )
        options = (base, target, *POINTS, "--allow", "generation")
        records.append(judge_into(tmp_path / name / "report/int8", options))
    weaker = changes(*records)
    assert len(weaker) == (change is not None)
    assert change is None or weaker[0].startswith(MORE + change[:79])


@pytest.mark.parametrize("written", [True, False], ids=["written", "chosen"])
def test_the_answer_is_what_the_model_wrote(written: bool) -> None:
    """A laxer filter takes other answers from the same text, and changes the scores."""

    def contents(answer: str) -> dict[str, str]:
        def rows() -> Iterator[Row]:
            for at in range(60):
                yield Row(f"{at}", {"acc": 1.0}, answer=answer, response=f"the answer is {at}")

        base, target = (Log("t", name, {"qa": TaskLog(rows, written=written)}) for name in ("base", "int8"))
        judged = judge_logs(base, target, LogBudgets(), Rules())
        params = JudgedAnswers({"int8": judged}, "fail").build_task_facts().params
        assert params is not None
        assert all(("scores" in comparison) is written for comparison in params["comparisons"])
        return dict(params["contents"].get("qa", {}))

    assert contents("[invalid]") == contents("42")
    assert ("answer" in contents("42")) is written


def test_more_runs_of_the_base_are_no_weaker_gate(tmp_path: Path) -> None:
    old = exam_record(tmp_path / "v1")
    first, target = write_exam(tmp_path / "logs-v2")
    second, _ = write_exam(tmp_path / "more", answer="another")
    runs = ["--base", first, second, "--target", target, *POINTS]
    assert changes(old, judge_into(tmp_path / "v2" / "int8", runs)) == []


def test_runs_of_the_target_hide_no_other_scores(tmp_path: Path) -> None:
    old = exam_record(tmp_path / "v1")
    base, first = write_exam(tmp_path / "logs-v2", rule="lenient")
    _, second = write_exam(tmp_path / "more", rule="lenient", answer="another")
    runs = ["--base", base, "--target", first, second, *POINTS]
    assert changes(old, judge_into(tmp_path / "v2" / "int8", runs)) == [RESCORED]


def test_rows_in_another_order_are_the_same_rows(tmp_path: Path) -> None:
    old, new = exam_record(tmp_path / "v1"), exam_record(tmp_path / "v2", reverse=True)
    comparison = compare(old, new)
    assert comparison.weaker == []
    assert comparison.same_rows
    assert not any("no test was made" in note for note in comparison.notes)
    assert comparison.teacher is not None
    for model in (comparison.teacher, *comparison.variants):
        [change] = model.metrics
        assert (change.n, change.right_to_wrong, change.wrong_to_right) == (N, 0, 0)


def test_predictions_in_another_order_are_the_same_rows(tmp_path: Path) -> None:
    records = []
    for name in ("v1", "v2"):
        files = []
        (tmp_path / name).mkdir()
        for side in ("base", "int8"):
            lines = [f"{at},{'pos' if at % 3 else 'neg'},{'pos' if at % 4 else 'neg'}" for at in range(N)]
            files.append(tmp_path / name / f"{side}.csv")
            rows = lines if name == "v1" else lines[::-1]
            files[-1].write_text("\n".join(["id,label,prediction", *rows]), "utf-8")
        records.append(judge_into(tmp_path / f"report-{name}" / "int8", [*files, *POINTS]))
    comparison = compare(*records)
    assert (comparison.same_rows, comparison.weaker) == (True, [])


def fallen_record(folder: Path, right: int, budget: str) -> StoredRecord:
    """Base and target with equal scores: so many of 800 are right."""
    logs = folder.with_name(f"logs-{folder.name}")
    logs.mkdir()
    files = [logs / f"{side}.jsonl" for side in ("base", "int8")]
    for file in files:
        rows = [{"id": f"{at}", "metric": "acc", "score": float(at < right)} for at in range(N)]
        file.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    budgets = logs / "budgets.toml"
    budgets.write_text(f"[budgets]\n'*' = {budget}\n", "utf-8")
    return judge_into(folder / "int8", [*files, "--budgets", budgets])


@pytest.mark.parametrize(
    ("before", "after", "right", "is_weaker"),
    [
        ("{ drop_points = 4.0 }", "{ drop_points = 4.0 }", 592, False),  # exactly a quarter: 8 of 800
        ("{ drop_points = 4.0 }", "{ drop_points = 4.0 }", 591, True),
        ("{ drop_points = 4.0 }", '{ drop_points = 9.0, reason = "x" }', 591, True),
        ("{ drop_points = 4.0 }", "{ drop_points = 4.0, floor = 0.5 }", 599, True),
    ],
    ids=["a quarter", "more", "more than a quarter of the old limit", "a budget of another kind"],
)
def test_a_base_may_fall_by_a_quarter_of_its_smallest_budget(
    tmp_path: Path, before: str, after: str, right: int, is_weaker: bool
) -> None:
    old = fallen_record(tmp_path / "v1", 600, before)
    new = fallen_record(tmp_path / "v2", right, after)
    of_base = [change for change in changes(old, new) if change.startswith("the base has changed")]
    assert bool(of_base) is is_weaker
    strict = [weakening.change for weakening in find_weaker(old.record, new.record)]
    assert any(change.startswith("the base has changed") for change in strict)


def test_values_that_a_base_run_again_may_have_are_listed(tmp_path: Path) -> None:
    """The list has no tolerance, so that a suite of logs refuses no base that was run again."""
    budget = "{ drop_points = 4.0 }"
    old, new = (fallen_record(tmp_path / name, right, budget) for name, right in (("v1", 600), ("v2", 592)))
    words = ["the base has changed: its acc was 0.75 and is 0.74"]
    assert list_worse_values(old.record, new.record) == words
    assert list_worse_values(new.record, old.record) == []


@pytest.mark.parametrize(
    ("was", "now", "notes"),
    [
        ("a/b", "a/c", ['int8: the log is of the model "a/c", and was of "a/b".']),
        ("a/b", "a/b", []),
        (None, "a/c", []),
        ("a/b", None, []),
    ],
    ids=["another", "the same", "unknown before", "unknown now"],
)
def test_a_log_of_another_model_is_noted(
    tmp_path: Path, was: str | None, now: str | None, notes: list[str]
) -> None:
    stored = fallen_record(tmp_path / "v1", 600, "{ drop_points = 4.0 }").record
    [_, int8] = stored.variants
    old, new = (change_variant(stored, int8.name, parent=name) for name in (was, now))
    assert list(describe_other_base(old, new)) == notes


SWITCHED = """[budgets]
'*' = { drop_points = 2.0 }
[pooled]
drop_points = 2.0
[budgets.variants.int8]
'*' = { drop_points = 'off', reason = 'a limit for each task' }
'gsm8k*' = { drop_points = 5.0 }
"""


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("'gsm8k*' = { drop_points = 5.0 }\n", "int8, gsm8k/acc: drop_points was 5 and is gone"),
        ("[pooled]\ndrop_points = 2.0\n", "int8, pooled: drop_points was 2 and is gone"),
    ],
    ids=["its own budget", "the budget on all tasks"],
)
def test_an_old_reason_is_not_that_of_another_budget(tmp_path: Path, gone: str, named: str) -> None:
    records = []
    right = [1.0] * 300 + [0.0] * 100
    for name, text in (("v1", SWITCHED), ("v2", SWITCHED.replace(gone, ""))):
        logs = [
            write_lm_eval(tmp_path / name / side, {"gsm8k": right, "arc": right}) for side in ("base", "int8")
        ]
        budgets = tmp_path / f"{name}.toml"
        budgets.write_text(text, "utf-8")
        records.append(judge_into(tmp_path / f"report-{name}" / "int8", [*logs, "--budgets", budgets]))
    unexplained = [weakening.change for weakening in compare(*records).weaker if weakening.reason is None]
    assert named in unexplained


@pytest.mark.parametrize("number", [2, 3], ids=["the same slices", "other slices"])
def test_other_samples_in_a_slice_weaken_the_gate(tmp_path: Path, number: int) -> None:
    records = []
    for name, topics in (("v1", 2), ("v2", number)):
        folder = tmp_path / name
        folder.mkdir()
        rows = [{"id": f"{at}", "metric": "acc", "score": float(at % 9 > 0)} for at in range(N)]
        files = [folder / f"{side}.jsonl" for side in ("base", "int8")]
        for file in files:
            lines = [json.dumps({**row, "topic": f"t{at % topics}"}) for at, row in enumerate(rows)]
            file.write_text("\n".join(lines), "utf-8")
        options = ("--slice", "topic", "--slice-points", 20)
        records.append(judge_into(tmp_path / f"report-{name}" / "int8", [*files, *options]))
    weaker = [change for change in changes(*records) if "samples of acc[topic=t0]" in change]
    words = "the samples of acc[topic=t0] in the base's log have changed"
    assert weaker == ([words] if number == 3 else [])


def test_an_undecided_budget_that_only_warns_is_no_regression(tmp_path: Path) -> None:
    warns = "{ drop_points = 1.0, on_inconclusive = 'warn' }"
    old, new = (fallen_record(tmp_path / name, 600, warns) for name in ("v1", "v2"))
    undecided = new.record.variant("int8")
    facts = undecided.quality["acc"]
    judged = [replace(budget, verdict=Verdict.INCONCLUSIVE) for budget in facts.budgets]
    for action, is_regressed in (("warn", False), ("fail", True)):
        budgets = [replace(budget, on_inconclusive=action) for budget in judged]
        quality = {"acc": facts.model_copy(update={"budgets": budgets, "verdict": Verdict.INCONCLUSIVE})}
        variants = [new.record.variants[0], undecided.model_copy(update={"quality": quality})]
        record = new.record.model_copy(update={"variants": variants})
        changed = find_verdict_changes(old.record, record)
        assert [(change.before, change.after) for change in changed] == [("PASS", "INCONCLUSIVE")]
        assert changed[0].regressed is is_regressed


def load_record(folder: Path, seed: int, slower: float, budget: str, *, again: float = 1.0) -> StoredRecord:
    """again: how much slower the second run of the base is than the first."""
    folder.mkdir()
    files = [folder / f"{name}.json" for name in ("base", "again", "int8")]
    for number, (file, factor) in enumerate(zip(files, (slower, slower * again, 0.5), strict=True)):
        write_vllm(file, np.random.default_rng(seed + number), slower=factor)
    budgets = folder / "speed.toml"
    budgets.write_text(f'[budgets]\nlatency = {{ {budget}, on_inconclusive = "warn" }}\n', "utf-8")
    options = [files[0], files[2], "--repeat", files[1], "--budgets", budgets]
    return judge_into(folder / "report" / "int8", options)


@pytest.mark.parametrize(
    ("slower", "budget", "again", "named"),
    [
        (1.4, "speedup_min = 1.05", 1.0, ["answer"]),
        (1.4, "ttft_speedup_min = 1.05", 1.0, ["first token"]),
        (1.4, "p50_ms_max = 500.0", 1.0, []),
        (1.02, "speedup_min = 1.05", 1.0, []),
        (1.4, "speedup_min = 1.05", 1.6, ["answer"]),
    ],
    ids=["slower", "another time", "a limit of the target alone", "as fast", "an unsteady base before"],
)
def test_a_slower_base_of_load_tests_weakens_the_gate(
    tmp_path: Path, slower: float, budget: str, again: float, named: list[str]
) -> None:
    old = load_record(tmp_path / "v1", 0, 1.0, budget, again=again)
    new = load_record(tmp_path / "v2", 10, slower, budget)
    assert [change.split(" p50 ")[0] for change in changes(old, new)] == [
        f"the base is slower: its c8 {part}" for part in named
    ]
    assert changes(new, new) == []
    source = new.record.task.source
    assert source["repeat"].endswith("again.json")
    assert any(name.endswith("again.json") for name in source["files"])


def judge_loads(folder: Path, users: Sequence[int], *options: str, prompt: int = 20) -> StoredRecord:
    """The record of a base, its second run and a target at these loads. prompt: tokens of the target's."""
    folder.mkdir()
    files = [folder / f"{name}.json" for name in ("base", "again", "int8")]
    for number, file in enumerate(files):
        of_side = {"slower": 0.5, "prompt": prompt} if file.stem == "int8" else {}
        draws = np.random.default_rng(number)
        results = [make_vllm_result(draws, concurrency=load, **of_side) for load in users]
        file.write_text("\n".join(map(json.dumps, results)), "utf-8")  # as with --append-result
    budgets = folder / "speed.toml"
    budgets.write_text("[budgets]\nlatency = { speedup_min = 1.2 }\n", "utf-8")
    chosen = [files[0], files[2], "--repeat", files[1], "--budgets", budgets]
    return judge_into(folder / "report" / "int8", [*chosen, *options])


@pytest.mark.parametrize(
    ("changes_of_load", "is_weaker"),
    [
        ({"prompt": 10}, True),
        ({"tokens": 3}, True),
        ({"requests": 100}, True),
        ({"prompt": 40, "requests": 400}, False),
    ],
    ids=["shorter prompts", "shorter answers", "fewer requests", "a heavier load"],
)
def test_a_lighter_load_weakens_the_gate(
    tmp_path: Path, changes_of_load: dict[str, Any], is_weaker: bool
) -> None:
    """A limit in milliseconds holds for short prompts, whatever the model is."""
    records = []
    for name, load in (("v1", {}), ("v2", changes_of_load)):
        (tmp_path / name).mkdir()
        for number, side in enumerate(("base", "int8")):
            write_vllm(tmp_path / name / f"{side}.json", np.random.default_rng(number), **load)
        budgets = tmp_path / name / "limit.toml"
        budgets.write_text("[budgets]\nlatency = { p50_ms_max = 9000.0 }\n", "utf-8")
        options = [tmp_path / name / "base.json", tmp_path / name / "int8.json", "--budgets", budgets]
        records.append(judge_into(tmp_path / name / "report" / "int8", options))
    before, after = records
    assert changes(before, before) == []
    weaker = [change.partition(" was ")[0] for change in changes(before, after)]
    assert weaker == (["[logs] requests of c8"] if is_weaker else [])


def test_fewer_loads_and_allowed_differences_weaken_the_gate(tmp_path: Path) -> None:
    old = judge_loads(tmp_path / "v1", (1, 8))
    fewer = judge_loads(tmp_path / "v2", (8,))
    shorter = judge_loads(tmp_path / "v3", (1, 8), "--allow", "prompt", prompt=5)
    assert changes(old, fewer) == ['[logs] loads was ["c1", "c8"] and is ["c8"]']
    other_prompts = f"{MORE}c1: prompt; c8: prompt"
    assert changes(old, shorter) == ['[logs] allow was [] and is ["prompt"]', other_prompts]
    allowing = judge_loads(tmp_path / "v4", (1, 8), "--allow", "prompt")
    assert changes(allowing, shorter) == [other_prompts]
    assert changes(allowing, allowing) == changes(shorter, allowing) == []
    assert changes(fewer, old) == changes(shorter, old) == changes(old, old) == []
