"""`slimgate explain`: one gate row through all models of a run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from support.judge_command import Command
from support.outcome_tables import Shares, write_class_answers, write_values
from support.prediction_rows import make_turned_rows, write_predictions
from support.sample_record import change_variant

from slimgate.cli.explain.row import describe_row_place
from slimgate.cli.main import main
from slimgate.record.run import AnswerFacts, FollowedRow, RunRecord, VariantRecord, format_record_json
from slimgate.record.task import Machine, SuiteFacts, TaskFactsRecord
from slimgate.record.verdicts import RunVerdict
from slimgate.results.behaviour import BehaviourFacts, Flips, QuotedRow
from slimgate.results.quality import QualityFacts
from slimgate.results.self_test import SelfTest

LABELS = [0, 1]
TEACHER: Shares = [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1]]
STUDENT: Shares = [[0.25, 0.7, 0.05], [0.3, 0.6, 0.1]]


@pytest.fixture
def explain(run_command: Command) -> Command:
    return partial(run_command, "explain")


def record(*names: str) -> RunRecord:
    """The teacher, of which nothing but its answers was measured, and judged variants."""
    facts = {"m": QualityFacts(teacher=1, value=1, n=2, measured="")}
    return RunRecord(
        slimgate="0",
        created="",
        command="",
        machine=Machine(
            cpu="", cores=1, threads=1, memory_bytes=1, device="cpu", os="", python="", libraries={}
        ),
        suite=SuiteFacts(path="bench/x.toml", title="x", digest="", seeds=[0]),
        task=TaskFactsRecord(kind="k", source={"name": "files"}, real=True, classes=[], splits={}),
        variants=[
            VariantRecord(name="teacher", parent=None),
            *(VariantRecord(name=name, parent="teacher", quality=facts) for name in names),
        ],
        followed=[
            FollowedRow(id="r0", number=0, why="", text="a purring pet", answers=[AnswerFacts(model="x")])
        ],
        self_test=SelfTest(),
        verdict=RunVerdict(status="PASS", passed=0, failed=0, inconclusive=0, not_gated=0),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A record with outcomes of the teacher and a student; those of int8 are missing."""
    (tmp_path / "run.json").write_text(format_record_json(record("student", "int8")))
    for name, shares in (("teacher", TEACHER), ("student", STUDENT), ("removed", TEACHER)):
        write_class_answers(tmp_path / "outcomes" / f"{name}.parquet", LABELS, shares)
    return tmp_path


def cells(out: str, model: str) -> list[str]:
    line = next(line for line in out.splitlines() if line.startswith(f"{model} "))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.mark.parametrize("row", ["r0", "0"], ids=["id", "number"])
def test_a_row_is_shown_through_every_model(explain: Command, run: Path, row: str) -> None:
    code, out, err = explain(run, row)
    assert (code, err) == (0, "")
    assert out.startswith("row r0, number 0 of 2, bench/x.toml\nlabel: cat\ntext: a purring pet\n")
    assert cells(out, "teacher")[1:4] == ["cat", "yes", "0.800"]
    assert cells(out, "student")[1:] == [
        "dog",
        "no",
        "0.250",
        "dog 0.700, cat 0.250, owl 0.050",
        "right to wrong, p -0.550",
    ]
    assert "no outcomes: int8" in out
    assert "removed" not in out


def test_a_record_and_its_folder_are_the_same(explain: Command, run: Path) -> None:
    assert explain(run / "run.json", "r1") == explain(run, "r1")


def test_a_text_that_the_record_does_not_quote_is_elsewhere(explain: Command, run: Path) -> None:
    assert (
        "text: the record quotes only a few rows; the text is in row r1 of source files"
        in explain(run, "r1")[1]
    )


@pytest.mark.parametrize("where", ["quoted", "quoted_better", "changed_answers"])
def test_the_text_of_every_quoted_row_is_shown(explain: Command, run: Path, where: str) -> None:
    rows = {where: [QuotedRow(id="r1", text="a barking pet")]}
    flips = Flips(right_to_wrong=1, wrong_to_right=0, changed=1)
    behaviour = (
        BehaviourFacts(flips=flips).replace(**rows)
        if where == "changed_answers"
        else BehaviourFacts(flips=flips.replace(**rows))
    )
    written = change_variant(record("student", "int8"), "student", behaviour=behaviour)
    (run / "run.json").write_text(format_record_json(written))
    assert "a barking pet" in explain(run, "r1")[1]


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ("all/12", "row 12, counted from 0, of ../a.csv"),
        ("gate/3", "row 3, counted from 0, of ../g.csv"),
        ("train/3", "row train/3 of source files"),
        ("r1", "row r1 of source files"),
    ],
)
def test_a_row_of_one_file_is_found_in_it(row: str, place: str) -> None:
    source = {"name": "files", "path": ["../a.csv"], "gate": ["../g.csv"], "train": ["1.csv", "2.csv"]}
    assert describe_row_place(source, row) == place


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ("gate/3", "row 3, counted from 0, of the rows with part test or dev in ../a.csv"),
        ("confirm/3", "row confirm/3 of source files"),
    ],
    ids=["gate", "a part without rows"],
)
def test_a_row_of_a_split_column_is_found_in_its_file(row: str, place: str) -> None:
    splits = {"train": ["train"], "gate": ["test", "dev"]}
    source = {"name": "files", "path": ["../a.csv"], "split_column": "part", "splits": splits}
    assert describe_row_place(source, row) == place


def test_a_row_of_judged_files_is_in_the_file_of_the_base(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = zip(("base", "small"), make_turned_rows(1000, lost=4), strict=True)
    files = [str(write_predictions(tmp_path / f"{name}.csv", columns)) for name, columns in sides]
    command = ["judge", *files, "--drop-points", "5", "--report", str(tmp_path / "report")]
    monkeypatch.setattr(sys, "argv", ["slimgate", *command])
    assert main(command) == 0
    capsys.readouterr()
    assert main(["explain", str(tmp_path / "report"), "r999"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "row r999, number 999 of 1,000"
    assert f"text: the record quotes only a few rows; the text is in row r999 of {files[0]}" in lines


def test_json_has_the_answers_as_the_record_has_them(explain: Command, run: Path) -> None:
    row = json.loads(explain(run, "r0", "--json")[1])
    assert [row[key] for key in ("id", "number", "label", "text")] == ["r0", 0, "cat", "a purring pet"]
    answers = [AnswerFacts.model_validate_json(json.dumps(answer)) for answer in row["answers"]]
    assert [(answer.model, answer.prediction, answer.right) for answer in answers] == [
        ("teacher", "cat", True),
        ("student", "dog", False),
    ]


def test_other_tasks_show_every_number_beside_the_teachers(explain: Command, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(format_record_json(record("int8")))
    for name, nats, rank in (("teacher", [4.0, 2.0], [1, 3]), ("int8", [4.5, 1.5], [2, 3])):
        columns = {"nats": nats, "rank": rank, "tokens": [12.0, 7.0]}
        write_values(tmp_path / "outcomes" / f"{name}.parquet", given_columns=["tokens"], **columns)
    code, out, _ = explain(tmp_path, "r1")
    assert code == 0
    assert "tokens: 7\n" in out
    assert cells(out, "teacher") == ["teacher", "2", "3"]
    assert cells(out, "int8") == ["int8", "1.500 (-0.500)", "3 (+0)"]
    assert "right" not in out


def test_a_sample_of_logs_shows_its_scores_alone(explain: Command, tmp_path: Path) -> None:
    for name, last in (("base", 1), ("int8", 0)):
        rows = [f"q{k},acc,{1 if k < 99 else last}" for k in range(100)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,metric,score", *rows]))
    files = [str(tmp_path / f"{name}.csv") for name in ("base", "int8")]
    assert main(["judge", *files, "--drop-points", "9", "--report", str(tmp_path / "report")]) == 0
    code, out, _ = explain(tmp_path / "report", "99")
    assert code == 0
    assert "comparison: " not in out
    assert re.search(r"int8 +0 \(-1\)", out)


def test_an_unknown_row_names_the_nearest(explain: Command, run: Path) -> None:
    code, out, err = explain(run, "r9")
    assert (code, out) == (4, "")
    assert err.startswith("slimgate explain: ")
    assert 'run.json: no gate row "r9"; nearest ids: r' in err
    assert err.endswith("; or a number from 0 to 1\n")
    assert explain(run, "2")[0] == 4


def test_a_folder_of_several_runs_says_where_they_are(explain: Command, run: Path) -> None:
    code, _, err = explain(run.parent, "r0")
    assert code == 4
    assert "expected a run.json or the folder that holds it; below it are " in err
    assert run.as_posix() in err


@pytest.mark.parametrize("content", ["{}", "no json", '{"schema": "slimgate.run/0"}'])
def test_what_is_no_run_record_is_one_error(explain: Command, tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    code, _, err = explain(tmp_path, "r0")
    assert code == 4
    assert "run.json: not a run record of schema slimgate.run/2" in err
    assert err.count("\n") == 1


def test_a_record_without_outcomes_says_what_is_missing(explain: Command, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(format_record_json(record()))
    code, _, err = explain(tmp_path, "r0")
    assert code == 4
    assert "outcomes: the teacher's outcomes are not in this folder" in err


def test_what_explains_is_read_without_torch() -> None:
    code = "import sys, slimgate.cli.explain.row, slimgate.record.answers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("meant", ["gate/1", "gsm8k/acc: 1"], ids=["rows", "logs"])
def test_a_number_that_ends_another_rows_id_asks_which_was_meant(
    run: Path, explain: Command, meant: str
) -> None:
    for name, shares in (("teacher", TEACHER), ("student", STUDENT)):
        write_class_answers(run / "outcomes" / f"{name}.parquet", LABELS, shares, ids=[meant, "gate/7"])
    hint = f"Did you mean {meant}? A number is a position in the gate, not a part of an id."
    code, out, _ = explain(run / "run.json", "1")
    assert code == 0
    assert out.startswith("row gate/7, number 1 of 2")
    assert hint in out
    assert hint not in explain(run / "run.json", meant)[1]
