"""`slimgate init` as a user runs it: what it writes, and what it asks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pyarrow import csv
from support.judge_command import Command
from support.user_repository import run_pytest

from fixtures.models.architectures import write_tiny
from fixtures.models.encoder_decoders import make_last_word_rows
from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.run.rows import prepare_rows
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite
from slimgate.suite.schema import make_suite_schema


def read_suite(repository: Path, name: str) -> dict[str, Any]:
    path = repository / "bench" / f"{name}.toml"
    load_suite(path)
    return tomllib.loads(path.read_text("utf-8"))


def test_a_csv_and_a_model_are_enough(repository: Path, init: Command) -> None:
    code, out, err = init("--model", "model", "--data", "reviews.csv")
    assert (code, err) == (0, "")
    suite = read_suite(repository, "reviews")
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
    repository: Path, init: Command, rows: int, line: str
) -> None:
    write_rows(repository / "reviews.csv", rows)
    assert init("--model", "model", "--data", "reviews.csv")[0] == 0
    assert line in (repository / "bench/reviews.toml").read_text("utf-8").splitlines()


def test_a_model_whose_labels_fit_is_judged_as_it_is(repository: Path, init: Command) -> None:
    write_tiny_bert(repository / "ready", labels=("pos", "neg"))
    assert init("--model", "ready", "--data", "reviews.csv")[0] == 0
    suite = read_suite(repository, "reviews")
    assert "steps" not in suite["teacher"]
    assert "pooling" not in suite["task"]


def test_a_model_of_other_labels_gets_a_new_head(repository: Path, init: Command) -> None:
    write_tiny_bert(repository / "ready", labels=("good", "bad"))
    out = init("--model", "ready", "--data", "reviews.csv")[1]
    assert "the model's labels (0=good, 1=bad) differ from the data's" in out
    assert read_suite(repository, "reviews")["task"]["pooling"] == "mean"
    assert init("--model", "ready", "--data", "reviews.csv", "--model-labels", "pos,neg", "--force")[0] == 0
    suite = read_suite(repository, "reviews")
    assert suite["task"]["labels"] == ["pos", "neg"]
    assert "steps" not in suite["teacher"]


def test_a_file_a_label_with_the_signs_of_old_editors(repository: Path, init: Command) -> None:
    for name in ("good", "bad"):
        lines = [f"it is \u0093{name}\u0094 film \u0096 number {i}" for i in range(60)]
        (repository / f"{name}.lines").write_text("\n".join(lines), "utf-8")
    options = ("--by-label", "a\u0091=good.lines", "--by-label", "b=bad.lines", "--name", "lines")
    assert init("--model", "model", *options)[0] == 0
    assert set(read_suite(repository, "lines")["task"]["source"]["by_label"]) == {"a\u0091", "b"}
    comments = [x for x in (repository / "bench/lines.toml").read_text("utf-8").splitlines() if x[:1] == "#"]
    assert "\u0091" not in "".join(comments)


def test_a_gate_of_its_own_and_the_rows_that_leak_into_it(repository: Path, init: Command) -> None:
    rows = (repository / "reviews.csv").read_text("utf-8").splitlines()
    (repository / "train.csv").write_text("\n".join(rows[:301]) + "\n", "utf-8")
    gate_rows = [f"{i} {row.rsplit(',', 1)[0]},g{i}" for i, row in enumerate(rows[301:])]
    (repository / "test.csv").write_text("\n".join([rows[0], rows[1], *gate_rows]) + "\n", "utf-8")
    assert init("--model", "model", "--data", "train.csv", "--gate", "test.csv", "--name", "r")[0] == 0
    assert read_suite(repository, "r")["task"]["source"] == {
        "name": "files",
        "train": "../train.csv",
        "gate": "../test.csv",
    }


@pytest.mark.parametrize(
    ("values", "splits"),
    [
        (
            ("train", "validation", "test"),
            {"train": ["train"], "selection": ["validation"], "gate": ["test"]},
        ),
        (("Train", "Dev", "Dev"), {"train": ["Train"], "gate": ["Dev"]}),
        (("a", "b", "c"), None),
        (("train", "test", "other"), None),
    ],
    ids=["three splits", "dev rows are the gate", "no splits", "a value that is no split"],
)
def test_a_column_of_splits_is_recognized_by_its_values(
    repository: Path, init: Command, values: tuple[str, str, str], splits: dict[str, list[str]] | None
) -> None:
    """The column is last, where a label usually is; one row in five is validation, one in five is test."""
    rows = (repository / "reviews.csv").read_text("utf-8").splitlines()
    names = [values[0], values[0], values[0], values[1], values[2]]
    lines = [f"{row},{names[number // 4 % 5]}" for number, row in enumerate(rows[1:])]
    (repository / "reviews.csv").write_text("\n".join([f"{rows[0]},part", *lines]) + "\n", "utf-8")
    code, out, _ = init("--model", "model", "--data", "reviews.csv")
    task = read_suite(repository, "reviews")["task"]
    named = {} if splits is None else {"split_column": "part", "splits": splits}
    assert (code, task["label"], task["source"]) == (
        0,
        "label",
        {"name": "files", "path": "../reviews.csv", **named},
    )
    assert ("400 rows by the column part (train 240," in out) is (splits is not None)
    if splits is not None:
        suite = load_suite(repository / "bench/reviews.toml")
        gate = prepare_rows(suite, Store(repository / "store")).splits["gate"]
        assert len(gate) == sum(line.rsplit(",")[-1] in splits["gate"] for line in lines)


def test_a_stated_label_is_not_taken_for_splits(repository: Path, init: Command) -> None:
    text = (
        (repository / "reviews.csv").read_text("utf-8").replace(",pos,", ",test,").replace(",neg,", ",train,")
    )
    (repository / "reviews.csv").write_text(text, "utf-8")
    assert init("--model", "model", "--data", "reviews.csv", "--label", "label")[0] == 0
    assert "split_column" not in read_suite(repository, "reviews")["task"]["source"]


def test_a_language_model_and_text_alone(repository: Path, init: Command) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    (repository / "notes.txt").write_text("\n".join(f"the film is good a {i}" for i in range(80)), "utf-8")
    assert init("--model", "gpt", "--data", "notes.txt")[0] == 0
    suite = read_suite(repository, "notes")
    assert (suite["task"]["kind"], suite["measure"]["on_inconclusive"]) == ("causal_lm", "warn")
    assert list(suite["variants"]) == ["student", "int8", "student-int8", "int4"]
    assert suite["variants"]["int4"]["steps"] == [{"gptq": {"bits": 4, "group_size": 32}}]


def test_long_texts_of_a_language_model_are_read_in_windows(repository: Path, init: Command) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    short, long = [f"the film is good a {i}" for i in range(200)], "the film is good and the end is bad " * 40
    (repository / "notes.txt").write_text("\n".join([*short, long]), "utf-8")
    assert init("--model", "gpt", "--data", "notes.txt")[0] == 0
    text = (repository / "bench/notes.toml").read_text("utf-8")
    assert "# 1 of 201 rows looked at are longer, and read in several windows\n" in text


def test_the_rows_of_each_split_are_those_of_a_run(repository: Path, init: Command) -> None:
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
    repository: Path, init: Command, row: dict[str, Any], kind: str, metric: str
) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    lines = [json.dumps(row).replace("{i}", str(i)) for i in range(200)]
    (repository / "asked.jsonl").write_text("\n".join(lines), "utf-8")
    code, out, _ = init("--model", "gpt", "--data", "asked.jsonl")
    assert code == 0
    assert f"asked.toml: {kind}" in out
    suite = read_suite(repository, "asked")
    assert (suite["task"]["kind"], next(iter(suite["budgets"]))) == (kind, metric)
    assert suite["measure"]["metrics"][0] == metric
    assert "chat" not in suite["task"]


def test_a_model_with_random_weights_is_trained_first(repository: Path, init: Command) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    pages = [json.dumps({"page": f"the film {i} is good"}) for i in range(200)]
    (repository / "pages.jsonl").write_text("\n".join(pages), "utf-8")
    code, out, _ = init("--model", "fresh:gpt", "--data", "pages.jsonl")
    assert code == 0
    assert "  the model has random weights: the teacher is trained first\n" in out
    assert "# The model has random weights" in (repository / "bench/pages.toml").read_text("utf-8")
    assert "fine_tune" in read_suite(repository, "pages")["teacher"]["steps"][0]


def test_many_numbers_as_labels_may_be_scores(repository: Path, init: Command) -> None:
    lines = [f"the film {i} is good,{i % 11},{i % 5}" for i in range(400)]
    (repository / "graded.csv").write_text("\n".join(["text,grade,stars", *lines]), "utf-8")
    hint = "  The labels are numbers: if they are scores and not classes, use --task text_regression.\n"
    assert hint in init("--model", "model", "--data", "graded.csv", "--label", "grade")[1]
    assert hint not in init("--model", "model", "--data", "graded.csv", "--label", "stars", "--force")[1]
    code, out, _ = init(
        *("--model", "model", "--data", "graded.csv", "--label", "grade"),
        *("--task", "text_regression", "--force"),
    )
    assert (code, "graded.toml: text_regression" in out) == (0, True)


def test_tagged_words_have_a_budget_on_their_spans(repository: Path, init: Command) -> None:
    """Most words are outside of spans, so a model that finds no span has most tags right."""
    rows = [
        {"tokens": ["the", "film", f"F{i}", "is", "good"], "tags": ["O", "O", "B-FILM", "O", "O"]}
        for i in range(200)
    ]
    (repository / "tagged.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert init("--model", "model", "--data", "tagged.jsonl")[0] == 0
    suite = read_suite(repository, "tagged")
    assert (suite["task"]["kind"], next(iter(suite["budgets"]))) == ("token_classification", "span_f1")


def write_pairs(repository: Path, rows: int) -> None:
    """A tiny T5, and texts with their last words."""
    write_tiny(repository / "t5", "t5", causal=True)
    table = (
        make_last_word_rows(rows, seed=1, limit=6)
        .table.drop_columns(["id"])
        .rename_columns(["text", "target"])
    )
    csv.write_csv(table.group_by(["text", "target"]).aggregate([]), repository / "pairs.csv")


def test_an_encoder_decoder_and_texts_with_targets(repository: Path, init: Command) -> None:
    write_pairs(repository, 300)
    code, out, _ = init("--model", "t5", "--data", "pairs.csv")
    assert code == 0
    assert "pairs.toml: text_to_text" in out
    suite = read_suite(repository, "pairs")
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


def test_the_search_in_the_comments_is_one_that_tune_takes(repository: Path, init: Command) -> None:
    assert init("--model", "model", "--data", "reviews.csv")[0] == 0
    path = repository / "bench/reviews.toml"
    text = path.read_text("utf-8")
    head, search = text.split("# What `slimgate tune bench/reviews.toml` searches for")
    assert "[[tune.space]]" not in head
    path.write_text(head + "# " + search.replace("\n# ", "\n"), "utf-8")
    (space,) = read_suite(repository, "reviews")["tune"]["space"]
    assert space["steps"][0] == {"keep_layers": {"choices": [[0, 3], [0]]}}
    assert list(space["steps"][1]) == ["distill"]


@pytest.mark.slow
def test_the_int4_variant_of_a_language_model_runs(repository: Path, init: Command) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    (repository / "notes.txt").write_text("\n".join(f"the film is good a {i}" for i in range(80)), "utf-8")
    assert init("--model", "gpt", "--data", "notes.txt")[0] == 0
    ran = run_pytest(repository, "bench/notes.toml", "-p", "no:xdist", "-k", "int4 and (quality or size)")
    int4, teacher = (ran.find_variant("notes", name) for name in ("int4", "teacher"))
    assert int4["error"] is None, int4["error"]
    assert int4["artifact"]["bytes"] < teacher["artifact"]["bytes"]
    assert set(int4["quality"]) >= {"perplexity", "token_accuracy"}


@pytest.mark.slow
def test_the_drafted_suite_of_an_encoder_decoder_runs(repository: Path, init: Command) -> None:
    write_pairs(repository, 400)
    assert init("--model", "t5", "--data", "pairs.csv")[0] == 0
    ran = run_pytest(repository, "bench/pairs.toml", "-v", "-p", "no:xdist", "-k", "quality or size")
    for name in ("teacher", "student", "int8", "student-int8", "pruned-50"):
        variant = ran.find_variant("pairs", name)
        assert variant["error"] is None, variant["error"]
        assert set(variant["quality"]) >= {"normalized_match", "same_answers", "truncated"}
    kinds = {
        name: ran.find_variant("pairs", name)["artifact"]["kind"] for name in ("student", "student-int8")
    }
    assert kinds == {"student": "torch", "student-int8": "ctranslate2"}


def test_a_chat_template_is_used(repository: Path, init: Command) -> None:
    write_tiny(repository / "gpt", "gpt2", causal=True)
    (repository / "gpt" / "chat_template.jinja").write_text("{{ messages[0].content }}", "utf-8")
    lines = [json.dumps({"prompt": f"is it {i}", "reference": str(i)}) for i in range(200)]
    (repository / "asked.jsonl").write_text("\n".join(lines), "utf-8")
    assert init("--model", "gpt", "--data", "asked.jsonl")[0] == 0
    assert read_suite(repository, "asked")["task"]["chat"] is True


def test_a_linked_bench_finds_rows_from_its_target(repository: Path, init: Command) -> None:
    (repository / "kept/far/away").mkdir(parents=True)
    (repository / "bench").symlink_to("kept/far/away")
    assert init("--model", "model", "--data", "reviews.csv")[0] == 0
    assert read_suite(repository, "reviews")["task"]["source"]["path"] == "../../../reviews.csv"


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
    assert read_suite(repository, "reviews")["task"]["label"] == "label"


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
    assert "checked.csv" in str(read_suite(repository, "reviews"))
