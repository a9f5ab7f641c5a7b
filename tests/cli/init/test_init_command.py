"""`slimgate init` as a user runs it: what it writes, what it refuses, what it asks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import csv
from support.user_repository import run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.encoder_decoders import make_last_word_rows
from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.cli.main import main
from slimgate.run.rows import prepare_rows
from slimgate.store.store import Store
from slimgate.suite.load import load_suite
from slimgate.suite.schema import make_suite_schema

Init = Callable[..., tuple[int, str, str]]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's repository, in which the test stands: model/ without a head, reviews.csv."""
    write_tiny_bert(tmp_path / "model")
    write_rows(tmp_path / "reviews.csv", 400)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def init(capsys: pytest.CaptureFixture[str]) -> Init:
    """Runs the command: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["init", "--yes", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def written(repository: Path, name: str) -> dict[str, Any]:
    path = repository / "bench" / f"{name}.toml"
    load_suite(path)
    return tomllib.loads(path.read_text("utf-8"))


def test_a_csv_and_a_model_are_enough(repository: Path, init: Init) -> None:
    code, out, err = init("--model", "model", "--data", "reviews.csv")
    assert (code, err) == (0, "")
    suite = written(repository, "reviews")
    assert suite["task"]["source"] == {"name": "files", "path": "../reviews.csv"}
    assert (suite["task"]["text"], suite["task"]["label"], suite["task"]["group"]) == (
        ["text"],
        "label",
        "file",
    )
    assert suite["teacher"]["model"] == "../model"
    assert "fine_tune" in suite["teacher"]["steps"][0]
    assert suite["variants"]["student"]["steps"][0] == {"keep_layers": [0, 3]}
    assert [name for name, variant in suite["variants"].items() if not variant.get("gated", True)] == [
        "pruned-50"
    ]
    # 160 rows in groups
    assert suite["budgets"]["accuracy"] == {"drop_points": 20.0}
    assert suite["budgets"]["variants"]["int8"]["accuracy"] == {"drop_points": 10.0}
    assert out.count("groups can decide it") == out.count("budget accuracy") == 2
    text = (repository / "bench/reviews.toml").read_text("utf-8")
    assert text.startswith("#:schema ./suite.schema.json\n")
    assert "groups decide these budgets in most runs," in text
    assert "# if int8 changes 0.5 to 3 % of the answers and a student 5 to 12 %, and neither" in text
    assert json.loads((repository / "bench/suite.schema.json").read_text("utf-8")) == make_suite_schema()


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (400, "# [budgets.slices] takes about 164 gate rows of each label; one has 75."),
        (900, "# accuracy = { drop_points = 5.0 }"),
    ],
)
def test_slices_get_a_budget_where_each_label_has_rows_enough(
    repository: Path, init: Init, rows: int, line: str
) -> None:
    write_rows(repository / "reviews.csv", rows)
    assert init("--model", "model", "--data", "reviews.csv")[0] == 0
    assert line in (repository / "bench/reviews.toml").read_text("utf-8").splitlines()


@pytest.mark.usefixtures("repository")
def test_a_mistyped_folder_is_not_looked_for_on_the_hub(init: Init) -> None:
    code, _, err = init("--model", "models", "--data", "reviews.csv")
    assert code == 4
    assert err == (
        "slimgate init: --model models: no such folder. Did you mean model?"
        " For a model of the hub, add a revision: models@main\n"
    )


def test_nor_is_one_in_a_folder_of_models(init: Init, repository: Path) -> None:
    (repository / "models").mkdir()
    (repository / "model").rename(repository / "models/minilm")
    code, _, err = init("--model", "models/minlm", "--data", "reviews.csv")
    assert code == 4
    assert '/models/minlm; for the hub model of this name, write "models/minlm@main". Did you' in err
    assert err.endswith("Did you mean minilm?\n")


def test_a_hub_id_like_a_folder_keeps_its_revision(init: Init, repository: Path) -> None:
    """The hub cannot be reached from the tests: that it was asked for is what they see."""
    (repository / "org").mkdir()
    (repository / "model").rename(repository / "org/all-minilm-l6")
    _, _, err = init("--model", "org/roberta-base-l6", "--data", "reviews.csv")
    assert "no such folder. Did you mean" not in err
    _, _, err = init("--model", "org/all-minilm-l12@main", "--data", "reviews.csv")
    assert "no such folder. Did you mean" not in err
    assert "org/all-minilm-l12" in err


def test_a_model_whose_labels_fit_is_judged_as_it_is(repository: Path, init: Init) -> None:
    write_tiny_bert(repository / "ready", labels=("pos", "neg"))
    assert init("--model", "ready", "--data", "reviews.csv")[0] == 0
    suite = written(repository, "reviews")
    assert "steps" not in suite["teacher"]
    assert "pooling" not in suite["task"]


def test_a_model_of_other_labels_gets_a_new_head(repository: Path, init: Init) -> None:
    write_tiny_bert(repository / "ready", labels=("good", "bad"))
    assert "the model's labels differ from the data's" in init("--model", "ready", "--data", "reviews.csv")[1]
    assert written(repository, "reviews")["task"]["pooling"] == "mean"
    assert init("--model", "ready", "--data", "reviews.csv", "--model-labels", "pos,neg", "--force")[0] == 0
    suite = written(repository, "reviews")
    assert suite["task"]["labels"] == ["pos", "neg"]
    assert "steps" not in suite["teacher"]


def test_a_file_a_label_with_the_signs_of_old_editors(repository: Path, init: Init) -> None:
    for name in ("good", "bad"):
        lines = [f"it is \u0093{name}\u0094 film \u0096 number {i}" for i in range(60)]
        (repository / f"{name}.lines").write_text("\n".join(lines), "utf-8")
    options = ("--by-label", "a\u0091=good.lines", "--by-label", "b=bad.lines", "--name", "lines")
    assert init("--model", "model", *options)[0] == 0
    assert set(written(repository, "lines")["task"]["source"]["by_label"]) == {"a\u0091", "b"}
    comments = [x for x in (repository / "bench/lines.toml").read_text("utf-8").splitlines() if x[:1] == "#"]
    assert "\u0091" not in "".join(comments)


def test_a_gate_of_its_own_and_the_rows_that_leak_into_it(repository: Path, init: Init) -> None:
    rows = (repository / "reviews.csv").read_text("utf-8").splitlines()
    (repository / "train.csv").write_text("\n".join(rows[:301]) + "\n", "utf-8")
    gate_rows = [f"{i} {row.rsplit(',', 1)[0]},g{i}" for i, row in enumerate(rows[301:])]
    (repository / "test.csv").write_text("\n".join([rows[0], rows[1], *gate_rows]) + "\n", "utf-8")
    assert init("--model", "model", "--data", "train.csv", "--gate", "test.csv", "--name", "r")[0] == 0
    assert written(repository, "r")["task"]["source"] == {
        "name": "files",
        "train": "../train.csv",
        "gate": "../test.csv",
    }


def test_a_language_model_and_text_alone(repository: Path, init: Init) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    (repository / "notes.txt").write_text("\n".join(f"the film is good a {i}" for i in range(80)), "utf-8")
    assert init("--model", "gpt", "--data", "notes.txt")[0] == 0
    suite = written(repository, "notes")
    assert (suite["task"]["kind"], suite["measure"]["on_inconclusive"]) == ("causal_lm", "warn")


def test_long_texts_of_a_language_model_are_read_in_windows(repository: Path, init: Init) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    short, long = [f"the film is good a {i}" for i in range(200)], "the film is good and the end is bad " * 40
    (repository / "notes.txt").write_text("\n".join([*short, long]), "utf-8")
    assert init("--model", "gpt", "--data", "notes.txt")[0] == 0
    text = (repository / "bench/notes.toml").read_text("utf-8")
    assert "# 1 of 201 rows looked at are longer, and read in several windows\n" in text


def test_the_rows_of_each_split_are_those_of_a_run(repository: Path, init: Init) -> None:
    """Rows of train leave whose text a gate row has."""
    write_tiny(repository / "gpt", "gpt2", causal=True)
    for name, numbers in (("train", range(120)), ("held", range(100, 160))):
        lines = [f"the film is good a {i}" for i in numbers]
        (repository / f"{name}.txt").write_text("\n".join(lines), "utf-8")
    code, out, _ = init("--model", "gpt", "--data", "train.txt", "--gate", "held.txt", "--name", "notes")
    assert code == 0
    assert "180 rows in the files (train 120, gate 60): " in out
    suite = load_suite(repository / "bench/notes.toml")
    reports = prepare_rows(suite, Store(repository / "store")).reports
    assert sum(report.n for report in reports.values()) == 160
    splits = ", ".join(f"{name} {report.n:,}" for name, report in reports.items())
    assert f"  Splits: {splits}.\n" in out


@pytest.mark.parametrize(
    ("row", "kind", "metric"),
    [
        ({"prompt": "is the film {i}", "answer": "it is {i}"}, "text_generation", "normalized_match"),
        (
            {"question": "is the film {i}", "choices": ["good", "bad {i}"], "answer": 1},
            "multiple_choice",
            "accuracy",
        ),
    ],
    ids=["prompts", "choices"],
)
def test_a_language_model_and_questions(
    repository: Path, init: Init, row: dict[str, Any], kind: str, metric: str
) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    lines = [json.dumps(row).replace("{i}", str(i)) for i in range(200)]
    (repository / "asked.jsonl").write_text("\n".join(lines), "utf-8")
    code, out, _ = init("--model", "gpt", "--data", "asked.jsonl")
    assert code == 0
    assert f"asked.toml: {kind}" in out
    suite = written(repository, "asked")
    assert (suite["task"]["kind"], next(iter(suite["budgets"]))) == (kind, metric)
    assert suite["measure"]["metrics"][0] == metric
    assert "chat" not in suite["task"]


def write_pairs(repository: Path, rows: int) -> None:
    """A tiny T5, and texts with their last words."""
    write_tiny(repository / "t5", "t5", causal=True)
    table = (
        make_last_word_rows(rows, seed=1, limit=6)
        .table.drop_columns(["id"])
        .rename_columns(["text", "target"])
    )
    csv.write_csv(table.group_by(["text", "target"]).aggregate([]), repository / "pairs.csv")


def test_an_encoder_decoder_and_texts_with_targets(repository: Path, init: Init) -> None:
    write_pairs(repository, 300)
    code, out, _ = init("--model", "t5", "--data", "pairs.csv")
    assert code == 0
    assert "pairs.toml: text_to_text" in out
    suite = written(repository, "pairs")
    assert (suite["task"]["kind"], suite["task"]["text"], suite["task"]["reference"]) == (
        "text_to_text",
        "text",
        "target",
    )
    student, distill = suite["variants"]["student"]["steps"]
    config = json.loads((repository / "t5/config.json").read_text("utf-8"))
    assert len(student["keep_layers"]["encoder"]) == config["num_layers"] // 2
    assert len(student["keep_layers"]["decoder"]) == config["num_decoder_layers"] // 2
    assert "distill" in distill
    assert suite["variants"]["student-int8"] == {
        "from": "student",
        "steps": [{"to_ctranslate2": {"quantization": "int8"}}],
    }


@pytest.mark.slow
def test_the_drafted_suite_of_an_encoder_decoder_runs(repository: Path, init: Init) -> None:
    write_pairs(repository, 400)
    assert init("--model", "t5", "--data", "pairs.csv")[0] == 0
    ran = run_pytest(repository, "bench/pairs.toml", "-v", "-p", "no:xdist", "-k", "quality or size")
    for name in ("teacher", "student", "int8", "student-int8", "pruned-50"):
        variant = ran.variant("pairs", name)
        assert variant["error"] is None, variant["error"]
        assert set(variant["quality"]) >= {"normalized_match", "same_answers", "truncated"}
    kinds = {name: ran.variant("pairs", name)["artifact"]["kind"] for name in ("student", "student-int8")}
    assert kinds == {"student": "torch", "student-int8": "ctranslate2"}


def test_a_chat_template_is_used(repository: Path, init: Init) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    (repository / "gpt" / "chat_template.jinja").write_text("{{ messages[0].content }}", "utf-8")
    lines = [json.dumps({"prompt": f"is it {i}", "reference": str(i)}) for i in range(200)]
    (repository / "asked.jsonl").write_text("\n".join(lines), "utf-8")
    assert init("--model", "gpt", "--data", "asked.jsonl")[0] == 0
    assert written(repository, "asked")["task"]["chat"] is True


def test_a_suite_is_not_written_over(repository: Path, init: Init) -> None:
    bench = repository / "bench"
    bench.mkdir()
    (bench / "reviews.toml").write_text("# mine", "utf-8")
    code, _, err = init("--model", "model", "--data", "reviews.csv")
    assert (code, (bench / "reviews.toml").read_text("utf-8")) == (4, "# mine")
    known = "this suite already exists; choose another name with --name, or replace this suite with --force"
    assert known in err
    assert init("--model", "model", "--data", "reviews.csv", "--force")[0] == 0


def test_a_schema_that_is_somebody_elses_is_not_written_over(repository: Path, init: Init) -> None:
    (repository / "bench").mkdir()
    (repository / "bench/suite.schema.json").write_text("{}", "utf-8")
    code, _, err = init("--model", "model", "--data", "reviews.csv")
    assert code == 4
    assert "not a schema of slimgate" in err


def test_a_linked_bench_finds_rows_from_its_target(repository: Path, init: Init) -> None:
    (repository / "kept/far/away").mkdir(parents=True)
    (repository / "bench").symlink_to("kept/far/away")
    assert init("--model", "model", "--data", "reviews.csv")[0] == 0
    assert written(repository, "reviews")["task"]["source"]["path"] == "../../../reviews.csv"


@pytest.mark.parametrize("name", ["reviews.toml", "suite.schema.json"])
def test_a_folder_in_the_place_of_a_file_is_reported(repository: Path, init: Init, name: str) -> None:
    (repository / "bench" / name).mkdir(parents=True)
    code, _, err = init("--model", "model", "--data", "reviews.csv", "--force")
    assert (code, err.count("\n"), "this is a folder, but slimgate writes a file with this name" in err) == (
        4,
        1,
        True,
    )
    assert [path.name for path in (repository / "bench").iterdir()] == [name]


def test_a_link_that_leads_nowhere_is_not_written_over(repository: Path, init: Init) -> None:
    (repository / "bench").mkdir()
    (repository / "bench/reviews.toml").symlink_to("gone.toml")
    assert init("--model", "model", "--data", "reviews.csv")[0] == 4
    assert (repository / "bench/reviews.toml").is_symlink()


def test_labels_that_only_the_gate_has_are_reported(repository: Path, init: Init) -> None:
    new = "\n".join(f"a film {i},{'pos' if i % 2 else 'new'},g{i}" for i in range(40))
    (repository / "gate.csv").write_text(f"text,label,file\n{new}\n", "utf-8")
    out = init("--model", "model", "--data", "reviews.csv", "--gate", "gate.csv", "--name", "r")[1]
    assert "GATE ROWS HAVE LABELS THAT NO TRAIN ROW HAS: new." in out


def test_a_tokenizer_that_knows_none_of_the_words_is_reported(repository: Path, init: Init) -> None:
    assert "THE TOKENIZER CANNOT READ" not in init("--model", "model", "--data", "reviews.csv")[1]
    words = json.loads((repository / "model/tokenizer.json").read_text("utf-8"))
    words["model"]["vocab"] = {word: i for word, i in words["model"]["vocab"].items() if word.startswith("[")}
    (repository / "model/tokenizer.json").write_text(json.dumps(words), "utf-8")
    out = init("--model", "model", "--data", "reviews.csv", "--force")[1]
    assert "THE TOKENIZER CANNOT READ 100% OF THE ROWS: at least one token in five is unknown to it." in out


def test_rows_that_bare_quotes_join_are_reported(repository: Path, init: Init) -> None:
    lines = [line.replace(",", "\t") for line in (repository / "reviews.csv").read_text("utf-8").splitlines()]
    lines[50], lines[53] = f'"so {lines[50]}', f'so" {lines[53]}'
    (repository / "reviews.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    message = "1 texts hold tabs and line breaks, because they are in double quotes"
    assert message in init("--model", "model", "--data", "reviews.tsv")[1]
    out = init("--model", "model", "--data", "reviews.tsv", "--no-quotes", "--force")[1]
    assert message not in out
    lines[53] = lines[53].replace('"', "")
    (repository / "reviews.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    code, _, error = init("--model", "model", "--data", "reviews.tsv", "--force")
    assert code == 4
    assert "reviews.tsv cannot be read as tsv: " in error
    assert "slimgate init: --no-quotes" in error


WRONG = {
    "no model": (["--data", "reviews.csv"], "--model is missing"),
    "no data": (["--model", "model"], "expected --data FILE"),
    "no file": (["--model", "model", "--data", "review.csv"], "no such file. Did you mean reviews.csv?"),
    "no folder": (
        ["--model", "./modle", "--data", "reviews.csv"],
        "(paths are from the current folder). Did you mean model?",
    ),
    "format": (["--model", "model", "--data", "model/config.xml"], "does not show the format"),
    "label": (["--model", "model", "--data", "reviews.csv", "--label", "labl"], "Did you mean label?"),
    "three texts": (
        ["--model", "model", "--data", "reviews.csv", *("--text", "text") * 3, "--label", "label"],
        "a task text_classification cannot use these columns: text: ",
    ),
    "pair of labels": (["--model", "model", "--by-label", "x"], "expected NAME=FILE"),
    "name": (["--model", "model", "--data", "reviews.csv", "--name", "../x"], "expected a name of letters"),
    "validation": (["--model", "model", "--data", "unlabelled.csv"], "partly unlabelled"),
    "text is label": (
        ["--model", "model", "--data", "reviews.csv", "--text", "text", "--label", "text"],
        "is named by --text and by --label",
    ),
    "group is label": (
        ["--model", "model", "--data", "reviews.csv", "--group", "label"],
        "already reads this column",
    ),
    "no header": (
        ["--model", "model", "--data", "headless.csv"],
        '"neg" is the name of a column and also a label',
    ),
    "a label of one value": (
        ["--model", "model", "--data", "one.csv"],
        '"label" has the same value in all rows',
    ),
    "encoding": (["--model", "model", "--data", "reviews.csv", "--encoding", "rot13"], "is not known"),
    "half a sign": (["--model", "model", "--data", "half.jsonl"], "is half of a surrogate pair"),
    "labels of no head": (
        ["--model", "model", "--data", "reviews.csv", "--model-labels", "pos,neg"],
        "the model has no head",
    ),
    "labels of others": (
        ["--model", "ready", "--data", "reviews.csv", "--model-labels", "positive,negative"],
        "0=positive, 1=negative was given, expected",
    ),
    "names of texts": (
        ["--model", "model", "--data", "reviews.csv", "--names", "A,B"],
        "--names: text_classification reads its labels as they are in the data; leave the option out",
    ),
    "id2label": (["--model", "listed", "--data", "reviews.csv"], "id2label of a model's config.json is"),
    "a file for DIR": (
        ["reviews.csv", "--model", "model", "--data", "reviews.csv"],
        "cannot be written there",
    ),
    "one label": (["--model", "model", "--data", "one.csv", "--label", "label"], "only one label"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_line_and_leaves_nothing(
    repository: Path, init: Init, arguments: list[str], message: str
) -> None:
    rows = (repository / "reviews.csv").read_text("utf-8").splitlines()
    unlabelled = [rows[0], *(row.replace(",pos,", ",,") for row in rows[1:50]), *rows[50:]]
    (repository / "unlabelled.csv").write_text("\n".join(unlabelled), "utf-8")
    same_label = [rows[0], *(row.replace(",pos,", ",neg,") for row in rows[1:])]
    (repository / "one.csv").write_text("\n".join(same_label), "utf-8")
    (repository / "headless.csv").write_text("the film is,neg,fx\n" + "\n".join(rows[1:]), "utf-8")
    half = ['{"text": "a \\ud800 film", "label": "pos"}', '{"text": "a film", "label": "neg"}'] * 9
    (repository / "half.jsonl").write_text("\n".join(half), "utf-8")
    for name in ("ready", "listed"):
        (repository / name).mkdir()
        for file in ("model.safetensors", "tokenizer.json"):
            (repository / name / file).touch()
    shape = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "good", "1": "bad"}}
    (repository / "ready/config.json").write_text(json.dumps(shape))
    (repository / "listed/config.json").write_text(json.dumps({**shape, "id2label": ["good", "bad"]}))
    code, out, err = init(*arguments)
    assert (code, out) == (4, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (repository / "bench").exists()


@pytest.mark.slow
def test_on_a_terminal_it_asks_for_what_is_missing(repository: Path) -> None:
    keys, terminal = pty.openpty()
    os.write(keys, b"reviews.csv\n\nmodel\n\n\n")
    command = [sys.executable, "-m", "slimgate.cli.main", "init"]
    done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=False, timeout=120)
    os.close(keys)
    os.close(terminal)
    assert (done.returncode, done.stderr) == (0, "")
    assert "It looks like text_classification" in done.stdout
    assert "Column of the label (- for none) [label]: " in done.stdout
    assert written(repository, "reviews")["task"]["label"] == "label"


@pytest.mark.slow
def test_on_a_terminal_it_keeps_what_was_passed(repository: Path) -> None:
    write_rows(repository / "checked.csv", 300)
    keys, terminal = pty.openpty()
    os.write(keys, b"reviews.csv\n")
    options = [
        "--gate",
        "checked.csv",
        "--model",
        "model",
        "--task",
        "text_classification",
        "--label",
        "label",
    ]
    command = [sys.executable, "-m", "slimgate.cli.main", "init", *options]
    done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=False, timeout=120)
    os.close(keys)
    os.close(terminal)
    assert (done.returncode, done.stderr) == (0, "")
    assert "checked.csv" in str(written(repository, "reviews"))
