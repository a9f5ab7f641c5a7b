"""A file of budgets is read by one rule for every kind of file: what the files do not decide is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from support.judge_command import Judge
from support.kl_logs import write_kl_log
from support.lm_eval_logs import write_lm_eval
from support.load_test_files import write_vllm

from slimgate.errors import SuiteError
from slimgate.logs.budgets import parse_budget_tables
from slimgate.logs.file_budgets import (
    ANSWERS,
    KL,
    LOADS,
    PREDICTIONS,
    FileKind,
    read_budget_tables,
    read_file_budgets,
)
from slimgate.logs.suite import load_log_suite
from slimgate.suite.file import parse_toml

OWN = {
    ANSWERS: '"gsm8k*" = { drop_points = 2.0 }\n',
    PREDICTIONS: "accuracy = { drop_points = 2.0 }\n",
    LOADS: "latency = { speedup_min = 1.2 }\n",
    KL: "kl = { mean_max = 0.02 }\n",
}
OF_OTHERS = [
    (ANSWERS, "latency = { speedup_min = 1.2 }", r"\[budgets.latency\]"),
    (ANSWERS, "kl = { mean_max = 0.02 }", r"\[budgets.kl\]"),
    (ANSWERS, "flips = { flips_max_percent = 1.0 }", r"\[budgets.flips\]"),
    (ANSWERS, "teacher = { acc = { floor = 0.5 } }", r"\[budgets.teacher\]"),
    (ANSWERS, 'acc = { drop_points = 1.0, over = "builds" }', '"acc" over = "builds"'),
    (
        ANSWERS,
        "[budgets.variants.target]\nsize = { compression_min = 2.0 }",
        r"\[budgets.variants.target.size\]",
    ),
    (PREDICTIONS, "latency = { speedup_min = 1.2 }", r"\[budgets.latency\]"),
    (PREDICTIONS, "top1_agreement = { floor = 0.9 }", r"\[budgets.top1_agreement\]"),
    (PREDICTIONS, "baseline = { accuracy = { drop_points = 1.0 } }", r"\[budgets.baseline\]"),
    (PREDICTIONS, 'family = "holm"', r"\[budgets\] family"),
    (PREDICTIONS, 'mcc = { drop_points = 1.0, over = "builds" }', 'mcc over = "builds"'),
    (
        PREDICTIONS,
        "slices.language.de = { accuracy = { drop_points = 1.0 } }",
        r"slices.language .* by label \(--slice language slices by this column",
    ),
    (PREDICTIONS, "[pooled]\ndrop_points = 1.0", r"\[pooled\]"),
    (LOADS, "size = { compression_min = 2.0 }", r"\[budgets.size\]"),
    (LOADS, '"*" = { drop_points = 2.0 }', r'\[budgets."\*"\]'),
    (
        LOADS,
        "[budgets.variants.target]\nlatency = { goodput_min = 3 }",
        r"latency goodput_min = 3 .* p50_ms_max",
    ),
    (LOADS, "[ranges]\ngrade = [1, 10]", r"\[ranges\]"),
    (KL, "accuracy = { drop_points = 2.0 }", r"\[budgets.accuracy\]"),
    (KL, "perplexity = { ceiling = 30.0 }", r"perplexity ceiling = 30 .* increase_relative"),
    (
        KL,
        "[budgets.variants.target]\nflips = { flips_max_percent = 1.0 }",
        r"\[budgets.variants.target.flips\]",
    ),
]


def _write(folder: Path, text: str) -> Path:
    path = folder / "b.toml"
    path.write_text(f"[budgets]\n{text}\n", "utf-8")
    return path


@pytest.mark.parametrize(("kind", "text", "place"), OF_OTHERS)
def test_a_budget_that_the_files_do_not_decide_is_refused(
    tmp_path: Path, kind: FileKind, text: str, place: str
) -> None:
    path = _write(tmp_path, OWN[kind] + text)
    with pytest.raises(SuiteError, match=f"b.toml .*{place}.*leave it out") as raised:
        read_file_budgets(read_budget_tables(path), kind, "target", str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("kind", OWN)
def test_a_target_may_have_other_limits(tmp_path: Path, kind: FileKind) -> None:
    """Those of models that are not judged now may be anything a suite takes."""
    other_budgets = "[budgets.variants.other]\nsize = { compression_min = 2.0 }\n"
    target_budgets = OWN[kind].replace("2", "3").replace("0.03", "0.3")
    path = _write(tmp_path, f"{OWN[kind]}[budgets.variants.target]\n{target_budgets}{other_budgets}")
    tables = read_budget_tables(path)
    limits = [_list_limits(kind, path, name) for name in ("target", "other-one")]
    assert (
        limits
        == {
            ANSWERS: [[3.0], [2.0]],
            PREDICTIONS: [[3.0], [2.0]],
            LOADS: [[1.3], [1.2]],
            KL: [[0.3], [0.02]],
        }[kind]
    )
    assert read_file_budgets(tables, kind, "target", "b.toml").notes == ()
    [note] = read_file_budgets(tables, kind, "small", "b.toml").notes
    assert note.startswith("b.toml has budgets for target, other but none for small")


def _list_limits(kind: FileKind, path: Path, target: str) -> list[float]:
    budgets = read_file_budgets(read_budget_tables(path), kind, target, "b.toml")
    if kind == ANSWERS:
        return [budget.limit for _, group in budgets.answers.patterns for budget in group]
    return [limit.limit for limit in budgets.limits.list_limits().values()]


@pytest.mark.parametrize("kind", OWN)
def test_a_target_may_switch_a_limit_off_with_a_reason(tmp_path: Path, kind: FileKind) -> None:
    name, _, limit = OWN[kind].partition(" = { ")
    off = f'{name} = {{ {limit.split(" ")[0]} = "off", reason = "known" }}\n'
    path = _write(tmp_path, f"{OWN[kind]}[budgets.variants.target]\n{off}")
    budgets = read_file_budgets(read_budget_tables(path), kind, "target", "b.toml")
    assert not budgets.has_limit
    [note] = budgets.notes
    assert note.startswith("b.toml switches off ")
    assert note.endswith(" for target: known")
    path.write_text(path.read_text("utf-8").replace(', reason = "known"', ""), "utf-8")
    with pytest.raises(SuiteError, match='"off" needs a reason'):
        read_file_budgets(read_budget_tables(path), kind, "target", "b.toml")


def test_narrower_budgets_than_the_one_switched_off_are_noted(tmp_path: Path) -> None:
    text = (
        '"*" = { drop_points = 2.0 }\n"arc*" = { drop_points = 3.0 }\n'
        '[budgets.variants.target]\n"*" = { drop_points = "off", reason = "not shipped" }\n'
    )
    budgets = read_file_budgets(read_budget_tables(_write(tmp_path, text)), ANSWERS, "target", "b.toml")
    assert budgets.notes[1:] == ("b.toml switches off * for target, but not the narrower arc*",)


def test_a_table_of_variants_names_that_of_their_budgets() -> None:
    with pytest.raises(SuiteError, match=r"no table \[variants\] here; .*\[budgets.variants.NAME\]"):
        read_file_budgets({"variants": {"w4": {"gated": False}}}, ANSWERS, "w4", "b.toml")


def test_one_limit_of_a_slice_is_off_and_the_other_stays(tmp_path: Path) -> None:
    text = (
        "slices.category.law.acc = { drop_points = 1.0, floor = 0.5 }\n"
        "[budgets.variants.target.slices.category.law]\n"
        'acc = { drop_points = "off", reason = "few rows" }\n'
    )
    tables = read_budget_tables(_write(tmp_path, text))
    budgets = read_file_budgets(tables, ANSWERS, "target", "b.toml")
    [limits] = budgets.answers.slices
    assert [(budget.kind, budget.limit) for budget in limits.budgets] == [("floor", 0.5)]
    assert budgets.notes == (
        "b.toml switches off slices.category.law.acc drop_points 1 for target: few rows",
    )


@pytest.mark.parametrize("kind", OWN)
def test_a_file_without_a_budget_says_what_is_expected(tmp_path: Path, kind: FileKind) -> None:
    with pytest.raises(SuiteError, match=rf"b.toml: expected \[budgets\]; {kind} are judged by .* = \{{ "):
        read_file_budgets(read_budget_tables(_write(tmp_path, "")), kind, "target", "b.toml")


def test_tables_of_a_suite_are_left_out_and_others_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, f'{OWN[PREDICTIONS]}[suite]\ntitle = "x"\n[task]\nkind = "any"\n[logs]\n')
    assert [*read_budget_tables(path)] == ["budgets"]
    path.write_text("[budget]\n", "utf-8")
    with pytest.raises(SuiteError, match=r"no table \[budget\] here;.* Did you mean budgets\?"):
        read_budget_tables(path)


def test_the_command_and_suites_refuse_the_same(tmp_path: Path, judge: Judge) -> None:
    rows = [f"r{k},{k % 2},{(k % 2) ^ (k < 10)}" for k in range(200)]
    for name, seed in (("base", 0), ("target", 1)):
        write_lm_eval(tmp_path / name, {"gsm8k": [1.0] * 190 + [0.0] * 10})
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,label,prediction", *rows]))
        write_vllm(tmp_path / f"{name}.json", seed)
    write_kl_log(tmp_path / "target.txt", np.full(20, 0.01))
    files = {ANSWERS: "", PREDICTIONS: ".csv", LOADS: ".json", KL: ".txt"}
    for kind, suffix in files.items():
        path = _write(tmp_path, f"{OWN[kind]}memory = {{ memory_ratio_max = 0.8 }}")
        base = [] if kind == KL else [tmp_path / f"base{suffix}"]
        code, out, err = judge(*base, tmp_path / f"target{suffix}", "--budgets", path)
        problem = f"[budgets.memory]: {{ memory_ratio_max = 0.8 }} was given, but {kind} are judged by "
        assert (code, out) == (4, "")
        assert problem in err
        logs = f'[logs]\ntargets = {{ target = "target{suffix}" }}\n'
        logs += "" if kind == KL else f'base = "base{suffix}"\n'
        suite = tmp_path / "suite.toml"
        suite.write_text(logs + path.read_text("utf-8"), "utf-8")
        assert "logs" in parse_toml(suite, "suite.toml")
        with pytest.raises(SuiteError) as raised:
            load_log_suite(suite, "b.toml")
        assert problem in str(raised.value)


def test_a_slice_of_a_label_that_there_is_not_is_refused(tmp_path: Path, judge: Judge) -> None:
    rows = [f"r{k},{'ab'[k % 2]},{'ab'[k % 2]}" for k in range(200)]
    for name in ("base", "target"):
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,label,prediction", *rows]))
    path = _write(tmp_path, "slices.label.c = { accuracy = { drop_points = 9.0 } }")
    code, _, err = judge(tmp_path / "base.csv", tmp_path / "target.csv", "--budgets", path)
    assert (code, "[budgets.slices.label] c: no such label" in err) == (4, True)


@pytest.mark.parametrize(
    ("limit", "problem"),
    [
        ("2.0", 'drop_points: "2.0" was given, expected a number'),
        (-1, "drop_points: -1 was given, expected more than 0"),
    ],
    ids=["text", "negative"],
)
def test_a_limit_that_is_no_number_is_shown(limit: object, problem: str) -> None:
    with pytest.raises(SuiteError) as raised:
        parse_budget_tables({"budgets": {"*": {"drop_points": limit}}}, "b.toml")
    assert str(raised.value) == f'b.toml [budgets] "*" {problem}'


@pytest.mark.parametrize("kind", [ANSWERS, PREDICTIONS])
def test_a_limit_that_may_be_a_share_is_asked_about(tmp_path: Path, kind: FileKind) -> None:
    path = _write(
        tmp_path, "accuracy = { drop_points = 0.02 }\nslices = { accuracy = { drop_points = 5.0 } }"
    )
    read = read_file_budgets(read_budget_tables(path), kind, "target", "b.toml")
    question = "points are percentage points, so 0.02 is 0.02 %. Did you mean drop_points = 2?"
    assert read.notes == (f"b.toml drop_points 0.02: {question}",)


@pytest.mark.parametrize(
    ("table", "question"),
    [
        ("speedup_min = 0.2", "so 0.2 allows 5 times the time. Did you mean speedup_min = 1.2?"),
        ("speedup_min = 0.8", None),
        ('speedup_min = 0.2, reason = "a smaller machine"', None),
    ],
)
def test_a_speed_up_that_allows_slow_answers_is_questioned(table: str, question: str | None) -> None:
    tables = tomllib.loads(f"[budgets]\nlatency = {{ {table} }}")
    notes = read_file_budgets(tables, LOADS, "int4", "speed.toml").notes
    assert (len(notes) == 1 and question in notes[0]) if question else notes == ()
