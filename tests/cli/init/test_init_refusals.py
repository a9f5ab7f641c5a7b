"""What `slimgate init` refuses or warns of: files in its way, doubtful rows, wrong options."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.judge_command import Command

from fixtures.models.architectures import write_tiny


@pytest.mark.usefixtures("repository")
def test_a_mistyped_folder_is_not_looked_for_on_the_hub(init: Command) -> None:
    code, _, err = init("--model", "models", "--data", "reviews.csv")
    assert code == 4
    assert err == (
        "slimgate init: --model models: no such folder. Did you mean model?"
        " For a model of the hub, add a revision: models@main\n"
    )


def test_nor_is_one_in_a_folder_of_models(init: Command, repository: Path) -> None:
    (repository / "models").mkdir()
    (repository / "model").rename(repository / "models/minilm")
    code, _, err = init("--model", "models/minlm", "--data", "reviews.csv")
    assert code == 4
    assert '/models/minlm; for the hub model of this name, write "models/minlm@main". Did you' in err
    assert err.endswith("Did you mean minilm?\n")


def test_a_hub_id_like_a_folder_keeps_its_revision(init: Command, repository: Path) -> None:
    """The hub cannot be reached from the tests: that it was asked for is what they see."""
    (repository / "org").mkdir()
    (repository / "model").rename(repository / "org/all-minilm-l6")
    _, _, err = init("--model", "org/roberta-base-l6", "--data", "reviews.csv")
    assert "no such folder. Did you mean" not in err
    _, _, err = init("--model", "org/all-minilm-l12@main", "--data", "reviews.csv")
    assert "no such folder. Did you mean" not in err
    assert "org/all-minilm-l12" in err


def test_a_quantized_model_is_named_as_the_suite_names_it(init: Command, repository: Path) -> None:
    write_tiny(repository / "models/int4", "llama", causal=True)
    config = repository / "models/int4/config.json"
    stated = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    config.write_text(json.dumps({**json.loads(config.read_text()), "quantization_config": stated}))
    code, _, err = init("--model", "models/int4", "--data", "reviews.csv")
    assert code == 4
    assert "this model is already quantized (gptq, W4A16)" in err
    assert 'add the quantized model to the suite: released = { model = "../models/int4" }' in err


def test_a_suite_is_not_written_over(repository: Path, init: Command) -> None:
    bench = repository / "bench"
    bench.mkdir()
    (bench / "reviews.toml").write_text("# mine", "utf-8")
    code, _, err = init("--model", "model", "--data", "reviews.csv")
    assert (code, (bench / "reviews.toml").read_text("utf-8")) == (4, "# mine")
    known = "this suite already exists; choose another name with --name, or replace this suite with --force"
    assert known in err
    assert init("--model", "model", "--data", "reviews.csv", "--force")[0] == 0


def test_a_schema_that_is_somebody_elses_is_not_written_over(repository: Path, init: Command) -> None:
    (repository / "bench").mkdir()
    (repository / "bench/suite.schema.json").write_text("{}", "utf-8")
    code, _, err = init("--model", "model", "--data", "reviews.csv")
    assert code == 4
    assert "not a schema of slimgate" in err


@pytest.mark.parametrize("name", ["reviews.toml", "suite.schema.json"])
def test_a_folder_in_the_place_of_a_file_is_reported(repository: Path, init: Command, name: str) -> None:
    (repository / "bench" / name).mkdir(parents=True)
    code, _, err = init("--model", "model", "--data", "reviews.csv", "--force")
    assert (code, err.count("\n"), "this is a folder, but slimgate writes a file with this name" in err) == (
        4,
        1,
        True,
    )
    assert [path.name for path in (repository / "bench").iterdir()] == [name]


def test_a_link_that_leads_nowhere_is_not_written_over(repository: Path, init: Command) -> None:
    (repository / "bench").mkdir()
    (repository / "bench/reviews.toml").symlink_to("gone.toml")
    assert init("--model", "model", "--data", "reviews.csv")[0] == 4
    assert (repository / "bench/reviews.toml").is_symlink()


def test_labels_that_only_the_gate_has_are_reported(repository: Path, init: Command) -> None:
    new = "\n".join(f"a film {i},{'pos' if i % 2 else 'new'},g{i}" for i in range(40))
    (repository / "gate.csv").write_text(f"text,label,file\n{new}\n", "utf-8")
    out = init("--model", "model", "--data", "reviews.csv", "--gate", "gate.csv", "--name", "r")[1]
    assert "GATE ROWS HAVE LABELS THAT NO TRAIN ROW HAS: new." in out


def test_a_tokenizer_that_knows_none_of_the_words_is_reported(repository: Path, init: Command) -> None:
    assert "THE TOKENIZER CANNOT READ" not in init("--model", "model", "--data", "reviews.csv")[1]
    words = json.loads((repository / "model/tokenizer.json").read_text("utf-8"))
    words["model"]["vocab"] = {word: i for word, i in words["model"]["vocab"].items() if word.startswith("[")}
    (repository / "model/tokenizer.json").write_text(json.dumps(words), "utf-8")
    out = init("--model", "model", "--data", "reviews.csv", "--force")[1]
    assert "THE TOKENIZER CANNOT READ 100 % OF THE ROWS: at least one token in five is unknown to it." in out


def test_texts_with_tabs_and_line_breaks_are_reported(repository: Path, init: Command) -> None:
    lines = [line.replace(",", "\t") for line in (repository / "reviews.csv").read_text("utf-8").splitlines()]
    lines[50] = f'"so\tgood\n" {lines[50]}'
    (repository / "reviews.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    message = "1 texts hold tabs and line breaks, because they are in double quotes"
    assert message in init("--model", "model", "--data", "reviews.tsv")[1]


@pytest.mark.parametrize("closes", [True, False], ids=["a later quote", "no later quote"])
def test_rows_that_a_quote_joins_are_refused(repository: Path, init: Command, closes: bool) -> None:
    lines = [line.replace(",", "\t") for line in (repository / "reviews.csv").read_text("utf-8").splitlines()]
    lines[50], lines[53] = f'"so {lines[50]}', f"so{chr(34) * closes} {lines[53]}"
    (repository / "reviews.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    code, _, error = init("--model", "model", "--data", "reviews.tsv")
    assert code == 4
    assert "reviews.tsv: line 52 is a row, but it is inside a value" in error
    assert "slimgate init: --no-quotes" in error
    assert init("--model", "model", "--data", "reviews.tsv", "--no-quotes")[0] == 0


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
    "a gate of other columns": (
        ["--model", "model", "--data", "reviews.csv", "--gate", "renamed.csv"],
        "part train has no text column txt. Did you mean text?",
    ),
    "one label": (["--model", "model", "--data", "one.csv", "--label", "label"], "only one label"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_line_and_leaves_nothing(
    repository: Path, init: Command, arguments: list[str], message: str
) -> None:
    rows = (repository / "reviews.csv").read_text("utf-8").splitlines()
    unlabelled = [rows[0], *(row.replace(",pos,", ",,") for row in rows[1:50]), *rows[50:]]
    (repository / "unlabelled.csv").write_text("\n".join(unlabelled), "utf-8")
    same_label = [rows[0], *(row.replace(",pos,", ",neg,") for row in rows[1:])]
    (repository / "one.csv").write_text("\n".join(same_label), "utf-8")
    renamed = ["txt,label,file", *(f"so {row}" for row in rows[1:])]
    (repository / "renamed.csv").write_text("\n".join(renamed), "utf-8")
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
