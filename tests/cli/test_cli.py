"""The command line: `slimgate judge` as a user runs it."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss
from support.judge_command import Judge
from support.prediction_rows import Columns, make_turned_rows, shuffle_rows, write_predictions

from slimgate import assert_within
from slimgate.cli.main import main
from slimgate.judge.paired import compute_paired_interval
from slimgate.results.quality import QualityFacts


def files(folder: Path, tables: tuple[Columns, Columns], suffix: str = ".csv") -> tuple[Path, Path]:
    teacher, variant = tables
    return (
        write_predictions(folder / f"teacher{suffix}", teacher),
        write_predictions(folder / f"int8{suffix}", shuffle_rows(variant)),
    )


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """1,000 rows, of which the variant loses 30 and wins 10: a drop of 2 points."""
    return files(tmp_path, make_turned_rows(1000, lost=30, won=10))


LOW, HIGH = (100 * bound for bound in compute_paired_interval(30, 10, 1000))


@pytest.mark.parametrize(
    ("limit", "code", "verdict"), [(4, 0, "PASS"), (2.5, 1, "INCONCLUSIVE"), (0.5, 1, "FAIL")]
)
def test_the_exit_code_is_the_verdict(
    judge: Judge, pair: tuple[Path, Path], limit: float, code: int, verdict: str
) -> None:
    exit_code, out, err = judge(*pair, "--drop-points", limit)
    assert (exit_code, err) == (code, "")
    cells = rf"accuracy +0\.990 +0\.970 +2\.0 \[{LOW:.1f}, {HIGH:.1f}\] +{limit:g} +{verdict}\n"
    assert re.search(cells, out)
    assert (
        f"int8: accuracy 0.970 vs 0.990, drop 2.0 points [{LOW:.1f}, {HIGH:.1f}], budget {limit:.1f}" in out
    )
    assert "flips: 30 rows from right to wrong, 10 from wrong to right; 40 answers changed" in out
    assert "agreement 96.00 %" in out
    counts = {"PASS": "1 PASS, 0 FAIL, 0", "FAIL": "0 PASS, 1 FAIL, 0"}
    assert f"{verdict} ({counts.get(verdict, '0 PASS, 0 FAIL, 1')} INCONCLUSIVE, 0 not gated)" in out


def test_an_undecided_budget_may_only_warn(judge: Judge, pair: tuple[Path, Path]) -> None:
    code, out, _ = judge(*pair, "--drop-points", 2.5, "--on-inconclusive", "warn")
    assert code == 0
    assert "rows would decide" in out
    assert judge(*pair, "--drop-points", 0.5, "--on-inconclusive", "warn")[0] == 1


def test_one_file_is_not_judged_against_itself(judge: Judge, pair: tuple[Path, Path]) -> None:
    link = pair[0].with_name("student.csv")
    link.symlink_to(pair[0])
    for variant in (pair[0], link):
        code, out, err = judge(pair[0], variant, "--drop-points", 2)
        assert (code, out) == (4, "")
        assert "are the same file, expected the predictions of two models" in err


def test_answers_that_are_all_the_same_are_reported(judge: Judge, pair: tuple[Path, Path]) -> None:
    copy = pair[0].with_name("copy.csv")
    copy.write_bytes(pair[0].read_bytes())
    assert "answers are the same: check that these are the files of two models" in judge(pair[0], copy)[1]
    assert "answers are the same" not in judge(*pair)[1]


def test_a_teacher_near_chance_is_reported(judge: Judge, tmp_path: Path) -> None:
    for name, number in (("teacher", 0), ("small", 1)):
        lines = [f"{row},{'ab'[row % 2]},{'ab'[row // 2 % 2 if row else number]}" for row in range(400)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,label,prediction", *lines]))
    out = judge(tmp_path / "teacher.csv", tmp_path / "small.csv", "--drop-points", 5)[1]
    assert "warning: the teacher is near chance: its accuracy 0.5" in out


def test_a_variant_that_passes_near_chance_is_reported(judge: Judge, tmp_path: Path) -> None:
    for name in ("teacher", "small"):
        rare = name == "teacher"
        lines = [f"{row},{row % 50 == 0},{rare and row % 50 == 0}" for row in range(1000)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,label,prediction", *lines]))
    out = judge(tmp_path / "teacher.csv", tmp_path / "small.csv", "--drop-points", 5)[1]
    assert "warning: small passes near chance: its accuracy 0.980 [" in out
    with pytest.warns(UserWarning, match="the variant passes near chance: its accuracy 0.980"):
        assert_within(tmp_path / "teacher.csv", tmp_path / "small.csv", drop_points=5.0)


def test_without_a_budget_nothing_is_gated(judge: Judge, pair: tuple[Path, Path]) -> None:
    code, out, _ = judge(*pair, "--metric", "accuracy", "--metric", "mcc")
    assert code == 0
    assert out.count("not gated\n") == 4
    assert out.endswith("nothing was gated: no budget was set\n")


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_verdict(judge: Judge, tmp_path: Path, suffix: str) -> None:
    tables = make_turned_rows(1000, lost=30, won=10)
    arguments = ("--metric", "accuracy", "--metric", "f1_macro", "--drop-points", 4)
    texts = judge(*files(tmp_path, tables), *arguments)
    assert judge(*files(tmp_path, tables, suffix), *arguments) == texts
    assert judge(tmp_path / "teacher.csv", tmp_path / f"int8{suffix}", *arguments) == texts


def test_json_is_as_in_the_record(judge: Judge, pair: tuple[Path, Path]) -> None:
    arguments = ("--metric", "accuracy", "--metric", "f1_macro", "--drop-points", 4, "--drop-points", 0.5)
    code, out, _ = judge(*pair, *arguments, "--json")
    (target,) = json.loads(out).values()
    assert code == 1
    assert set(target) == {"quality", "behaviour", "notes", "verdict"}
    quality = {name: QualityFacts.model_validate_json(json.dumps(f)) for name, f in target["quality"].items()}
    assert [*quality] == ["accuracy", "f1_macro"]
    assert quality["accuracy"].drop_points == pytest.approx(2.0)
    assert quality["accuracy"].interval == pytest.approx((LOW, HIGH))
    assert [budget.limit for facts in quality.values() for budget in facts.budgets] == [4.0, 0.5]
    assert [facts.verdict for facts in quality.values()] == ["PASS", "FAIL"]
    assert target["behaviour"]["flips"]["right_to_wrong"] == 30
    assert target["behaviour"]["agreement"] == pytest.approx(0.96)
    assert {
        key: target["verdict"][key] for key in ("status", "passed", "failed", "inconclusive", "not_gated")
    } == {"status": "FAIL", "passed": 1, "failed": 1, "inconclusive": 0, "not_gated": 0}
    assert target["verdict"]["messages"] == [quality["f1_macro"].message]


def test_values_are_those_of_scikit_learn(judge: Judge, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    names = np.array(["neg", "neutral", "pos"])
    labels = rng.integers(0, 3, 400)
    scores = {}
    for name in ("teacher", "int8"):
        raw = rng.dirichlet(np.ones(3), 400) + 1.5 * np.eye(3)[labels] * rng.random((400, 1))
        scores[name] = raw / raw.sum(axis=1, keepdims=True)
    tables = [
        {"id": [*range(400)], "label": names[labels].tolist()}
        | {f"prob_{n}": scores[model][:, k].tolist() for k, n in enumerate(names)}
        for model in scores
    ]
    paths = files(tmp_path, (tables[0], tables[1]))
    _, out, _ = judge(*paths, "--metric", "f1_macro", "--metric", "log_loss", "--json")
    quality = json.loads(out)["int8"]["quality"]
    for key, model in (("teacher", "teacher"), ("value", "int8")):
        answers = scores[model].argmax(axis=1)
        assert quality["f1_macro"][key] == pytest.approx(f1_score(labels, answers, average="macro"))
        assert quality["log_loss"][key] == pytest.approx(log_loss(labels, scores[model]))


def test_the_seed_is_that_of_the_bootstrap(judge: Judge, pair: tuple[Path, Path]) -> None:
    def interval(seed: int) -> list[float]:
        out = judge(*pair, "--metric", "f1_macro", "--seed", seed, "--json")[1]
        return list(json.loads(out)["int8"]["quality"]["f1_macro"]["interval"])

    assert interval(1) == interval(1) != interval(2)


def test_groups_widen_the_interval(judge: Judge, tmp_path: Path) -> None:
    teacher, variant = make_turned_rows(1000, lost=30)
    groups = [f"d{i // 10}" for i in range(1000)]
    apart = judge(*files(tmp_path, (teacher, variant)), "--json")[1]
    tables = ({**teacher, "doc": groups}, variant)
    together = judge(*files(tmp_path, tables), "--group", "doc", "--json")[1]
    alone, grouped = (json.loads(out)["int8"]["quality"]["accuracy"] for out in (apart, together))
    assert grouped["groups"] == 100
    assert grouped["design_effect"] > 1
    assert grouped["interval"][1] > alone["interval"][1]


BUDGETS = """\
[budgets]
accuracy = { drop_points = 0.5 }
f1_macro = { drop_points = 5.0 }
[budgets.variants.int8]
accuracy = { drop_points = 4.0, reason = "it is small" }
"""


def test_budgets_of_a_file_go_by_the_name_of_the_variants_file(
    judge: Judge, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "x.toml").write_text(BUDGETS)
    code, out, _ = judge(*pair, "--budgets", tmp_path / "x.toml", "--metric", "mcc")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["mcc", "accuracy", "f1_macro"]
    assert "PASS (2 PASS, 0 FAIL, 0 INCONCLUSIVE, 1 not gated)" in out
    other = pair[1].rename(tmp_path / "pruned.csv")
    code, out, _ = judge(pair[0], other, "--budgets", tmp_path / "x.toml")
    assert code == 1
    assert "pruned: accuracy 0.970 vs 0.990" in out
    assert "has budgets for int8 but none for pruned" in out


@pytest.mark.parametrize("table", ["int8", "int8-2"])
def test_a_table_for_two_targets_of_one_name_is_refused(
    judge: Judge, pair: tuple[Path, Path], tmp_path: Path, table: str
) -> None:
    (tmp_path / "old").mkdir()
    old = tmp_path / "old" / pair[1].name
    old.write_bytes(pair[1].read_bytes() + b"\n")
    budgets = tmp_path / "x.toml"
    budgets.write_text(BUDGETS.replace("variants.int8", f"variants.{table}"))
    code, _, err = judge(pair[0], old, pair[1], "--budgets", budgets)
    assert code == 4
    assert f"x.toml [budgets.variants.{table}]: {old} and {pair[1]} have the same name int8, so" in err
    budgets.write_text(BUDGETS.replace("variants.int8", "variants.int4"))
    code, out, _ = judge(pair[0], old, pair[1], "--budgets", budgets)
    assert code == 1
    assert "int8-2: accuracy 0.970 vs 0.990" in out


def test_a_budget_that_the_file_switches_off_has_its_reason(
    judge: Judge, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    off = 'drop_points = "off", floor = 0.5, reason = "new labels"'
    (tmp_path / "x.toml").write_text(BUDGETS.replace('drop_points = 4.0, reason = "it is small"', off))
    code, out, _ = judge(*pair, "--budgets", tmp_path / "x.toml", "--metric", "accuracy")
    assert code == 0
    assert "x.toml switches off accuracy drop_points 0.5 for int8: new labels" in out


def test_budgets_over_builds_are_not_judged_from_one_build(
    judge: Judge, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    suite = '[budgets]\naccuracy = { drop_points = 4.0, over = "builds" }\n'  # seeds are of no use here
    (tmp_path / "x.toml").write_text(suite)
    code, _, err = judge(*pair, "--budgets", tmp_path / "x.toml")
    assert code == 4
    problem = (
        '[budgets] accuracy over = "builds" was given, but prediction files come from one build of each model'
    )
    assert problem in err


def test_a_budget_of_a_file_may_warn_by_itself(judge: Judge, pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        '[budgets]\naccuracy = { drop_points = 2.5, on_inconclusive = "warn" }\n'
    )
    assert judge(*pair, "--budgets", tmp_path / "x.toml")[0] == 0


def test_a_budget_that_only_warns_does_not_make_others_warn(
    judge: Judge, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Both are undecided: the common one fails, the variant's own only warns."""
    variant_budget = '[budgets.variants.int8]\naccuracy = { floor = 0.97, on_inconclusive = "warn" }\n'
    (tmp_path / "x.toml").write_text(f"[budgets]\naccuracy = {{ drop_points = 2.5 }}\n{variant_budget}")
    code, out, _ = judge(*pair, "--budgets", tmp_path / "x.toml")
    assert (code, "0 PASS, 0 FAIL, 2 INCONCLUSIVE" in out) == (1, True)
    (tmp_path / "x.toml").write_text(f"[budgets]\nmcc = {{ drop_points = 50.0 }}\n{variant_budget}")
    assert judge(*pair, "--budgets", tmp_path / "x.toml")[0] == 0


@pytest.mark.parametrize(
    ("limit", "code", "verdict"), [(5, 0, "PASS"), (3.2, 1, "INCONCLUSIVE"), (1, 1, "FAIL")]
)
def test_flips_and_slices_are_judged_from_a_file_of_budgets(
    judge: Judge, pair: tuple[Path, Path], tmp_path: Path, limit: float, code: int, verdict: str
) -> None:
    """30 of 1,000 rows turned from right to wrong."""
    (tmp_path / "x.toml").write_text(
        f"[budgets]\nflips = {{ flips_max_percent = {limit} }}\n"
        "[budgets.slices]\naccuracy = { drop_points = 30.0 }\n"
    )
    exit_code, out, _ = judge(*pair, "--budgets", tmp_path / "x.toml", "--json")
    assert exit_code == code
    behaviour = json.loads(out)["int8"]["behaviour"]
    flips = behaviour["budgets"][0]
    assert (flips["kind"], flips["verdict"]) == ("flips_max_percent", verdict)
    assert {facts["column"] for facts in behaviour["slices"]} == {"label"}
    assert json.loads(out)["int8"]["verdict"]["status"] == verdict
    assert judge(*pair, "--budgets", tmp_path / "x.toml")[1].count(f"{verdict}") >= 1


def test_warnings_are_not_in_the_json(judge: Judge, tmp_path: Path) -> None:
    teacher, variant = make_turned_rows(100, lost=1)
    paths = files(tmp_path, (teacher, {**variant, "prediction": ["maybe", *variant["prediction"][1:]]}))
    _, out, err = judge(*paths, "--json")
    json.loads(out)
    assert 'int8.csv predicts "maybe", which is not a label, in 1 rows: counted as wrong' in err
    assert "\nwarning: " in judge(*paths)[1]


WRONG = {
    "unknown-metric": (["--metric", "acuracy"], '"acuracy": no such metric. Did you mean accuracy?'),
    "other-outcomes": (
        ["--metric", "acc"],
        "metric acc: not a metric of labels and predictions, expected one of accuracy, ",
    ),
    "needs-probabilities": (["--metric", "log_loss"], "teacher.csv: log_loss needs probabilities"),
    "binary-budget": (
        ["--drop-points", "0"],
        "[budgets.accuracy] drop_points: 0.0 was given, expected more than 0",
    ),
    "negative-budget": (["--drop-points", "-1"], "-1.0 was given, expected more than 0"),
    "nan-budget": (["--drop-points", "nan"], "expected a finite number"),
    "not-a-number": (
        ["--drop-points", "2%"],
        "'2%' was given, expected percentage points as a number, such as 2",
    ),
    "counts": (
        ["--metric", "mcc", "--drop-points", "1", "--drop-points", "2"],
        "2 --drop-points for 1 --metric, expected one value for each",
    ),
    "twice": (["--metric", "mcc", "--metric", "mcc"], "--metric mcc was given twice"),
    "both": (["--drop-points", "1", "--budgets", "x.toml"], "expected one of them"),
    "no-budget-file": (["--budgets", "nosuch.toml"], "nosuch.toml: cannot be read"),
    "wrong-key": (["--budgets", "key.toml"], "unknown key drop_point. Did you mean drop_points?"),
    "wrong-metric": (["--budgets", "metric.toml"], "no such metric. Did you mean accuracy?"),
    "no-table": (
        ["--budgets", "table.toml"],
        "table.toml: no table [budget] here; a budget is a line in [budgets]",
    ),
    "no-quality": (
        ["--budgets", "size.toml"],
        "[budgets.size]: { compression_min = 2 } was given, but prediction files "
        "are judged by metrics, flips",
    ),
    "not-a-table": (["--budgets", "flat.toml"], "flat.toml budgets: 1 was given, expected a table [budgets]"),
    "column": (["--label", "gold"], 'no column "gold"'),
    "group": (["--group", "doc"], 'neither has a column "doc"; known: id, label, prediction\n'),
    "same-column": (["--label", "id"], 'column "id" is meant as id and label'),
    "seed": (["--seed", "-1"], "--seed: '-1' was given, expected a whole number from 0 to 4294967295"),
    "labels": (["--labels", "a,,b"], "--labels: 'a,,b' was given, expected labels that are not empty"),
    "on-inconclusive": (["--on-inconclusive", "pass"], "invalid choice: 'pass'"),
    "unknown-option": (["--metrics", "mcc", "--x"], "unrecognized arguments"),
}
TABLES = {
    "key.toml": "[budgets]\naccuracy = { drop_point = 1 }\n",
    "metric.toml": "[budgets]\naccurac = { drop_points = 1 }\n",
    "table.toml": "[budget]\naccuracy = { drop_points = 1 }\n",
    "size.toml": "[budgets]\nsize = { compression_min = 2 }\n",
    "flat.toml": "budgets = 1\n",
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_exit_code_4_and_says_why(
    judge: Judge, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(pair[0].parent)
    for name, text in TABLES.items():
        Path(name).write_text(text)
    code, out, err = judge(*pair, *options)
    assert (code, out) == (4, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [[], ["judge"], ["judge", "one.csv"], ["juge", "a.csv", "b.csv"]])
def test_an_incomplete_command_is_exit_code_4(arguments: list[str]) -> None:
    assert main(arguments) == 4


def test_wrong_rows_are_one_line(judge: Judge, pair: tuple[Path, Path], tmp_path: Path) -> None:
    less = {name: values[:-1] for name, values in make_turned_rows(1000, lost=0)[1].items()}
    code, _, err = judge(pair[0], write_predictions(tmp_path / "less.csv", less))
    assert code == 4
    assert re.fullmatch(r'slimgate judge: .*less\.csv lacks 1 of the 1,000 ids of .*: "r999"\n', err)


def test_a_control_character_of_a_file_is_shown_and_not_obeyed(judge: Judge, tmp_path: Path) -> None:
    rows = {"id": ["a\x1b[2J", "b"], "label": ["x", "y"], "prediction": ["x", "y"]}
    twice = {name: [*values, values[0]] for name, values in rows.items()}
    err = judge(write_predictions(tmp_path / "t.csv", rows), write_predictions(tmp_path / "v.csv", twice))[2]
    assert "\x1b" not in err
    assert "more than once" in err


@pytest.mark.slow
def test_judging_loads_no_torch(pair: tuple[Path, Path]) -> None:
    code = (
        "import sys; from slimgate.cli.main import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'datasets', 'evaluate', 'pytest'}; "
        "print(code, sorted(heavy & sys.modules.keys()))"
    )
    options = ["--metric", "f1_macro", "--metric", "accuracy", "--drop-points", "9"]
    run = subprocess.run(
        [sys.executable, "-c", code, "judge", *map(str, pair), *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.splitlines()[-1] == "0 []"


@pytest.mark.slow
def test_a_million_rows(judge: Judge, tmp_path: Path) -> None:
    paths = files(tmp_path, make_turned_rows(1_000_000, lost=9_000, won=1_000), ".parquet")
    code, out, _ = judge(*paths, "--drop-points", 1)
    assert code == 0
    assert "n=1000000" in out
    assert "9,000 rows from right to wrong, 1,000 from wrong to right" in out


def test_a_report_that_cannot_be_written_is_wrong_input(judge: Judge, pair: tuple[Path, Path]) -> None:
    code, _, err = judge(*pair, "--drop-points", 4, "--report", pair[0] / "report")
    assert code == 4
    assert re.fullmatch(r"slimgate judge: .*teacher\.csv.*: (Not a directory|File exists)\n", err)


def test_an_error_in_slimgate_is_no_verdict(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("slimgate.cli.judge.ending._compute_exit_code", fail)
    assert main(["judge", *map(str, pair), "--drop-points", "4"]) == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_full_disk_is_one_line(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Libraries that draw plots and write parquet raise an OSError without the name of the file."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("slimgate.cli.judge.ending._compute_exit_code", fail)
    assert main(["judge", *map(str, pair), "--drop-points", "4"]) == 4
    line = "slimgate judge: a file cannot be written: No space left on device\n"
    assert capsys.readouterr().err == line
