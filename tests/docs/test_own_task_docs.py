"""The examples of docs/own_task.md run as they stand there: files, suites, verdicts, the planted fault."""

from __future__ import annotations

import json
import random
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.added_package import add_package
from support.doc_blocks import list_blocks, read_files
from transformers import AutoTokenizer

from fixtures.models.tiny import BAD, GOOD, OTHER, write_tiny_bert
from slimgate.cli.main import main
from slimgate.errors import MeasureError
from slimgate.judge.budget_kinds import QualityBudget
from slimgate.judge.metrics import compute_value, load_metric
from slimgate.judge.quality import judge_quality
from slimgate.outcomes import ClassOutcomes
from slimgate.plugins.rows import Rows
from slimgate.results.base import Verdict
from slimgate.run.planted_fault import judge_exchanged_answers
from slimgate.run.run import SuiteRun
from slimgate.store.store import Store
from slimgate.suite.reader import load_suite

pytestmark = pytest.mark.slow

CODE = read_files("docs/own_task.md")
SUITES = [block.text for block in list_blocks("docs/own_task.md", "toml")]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's repository with mytools/, model/ and bench/; what was imported of it is forgotten."""
    (tmp_path / "mytools").mkdir()
    for name, code in CODE.items():
        (tmp_path / name).write_text(code)
    write_tiny_bert(tmp_path / "model", initializer_range=0.2)
    bench = tmp_path / "bench"
    bench.mkdir()
    generator = random.Random(0)
    _write(bench / "mails.jsonl", [_mail(generator) for _ in range(220)])
    _write(bench / "preferences.jsonl", [_preference(generator) for _ in range(220)])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "mytools"]:
        del sys.modules[name]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _mail(generator: random.Random) -> dict[str, str]:
    """The quoted lines say the contrary."""
    reply_words, other = generator.sample((GOOD, BAD), 2)
    reply, quoted = (" ".join(generator.choice(words) for _ in range(4)) for words in (reply_words, other))
    filling = " ".join(generator.choice(OTHER) for _ in range(6))
    label = "yes" if reply_words is GOOD else "no"
    return {"mail": f"{reply} {filling}\n| {quoted} {quoted}\n-- \n{quoted}", "label": label}


def _preference(generator: random.Random) -> dict[str, str]:
    question, better, worse = (
        " ".join(generator.choice(words) for _ in range(5)) for words in (OTHER, GOOD, BAD)
    )
    return {"question": question, "chosen": better, "rejected": worse}


def run_of(repository: Path, suite: str) -> SuiteRun:
    path = repository / "bench/own.toml"
    path.write_text(suite)
    return SuiteRun(load_suite(path, "own.toml"), Store(repository / "store"), device="cpu")


def test_the_doc_holds_three_modules_each_with_its_suite() -> None:
    assert list(CODE) == ["mytools/mails.py", "mytools/preferences.py", "mytools/linear.py"]
    assert len(SUITES) == 3


def write_linear(folder: Path, outputs: int = 2) -> None:
    """A folder of mytools/linear.py that counts good and bad words."""
    folder.mkdir()
    tokenizer = AutoTokenizer.from_pretrained(folder.parent / "model")
    tokenizer.save_pretrained(folder)
    weights = np.zeros((len(tokenizer), outputs), np.float32)
    weights[tokenizer.convert_tokens_to_ids(list(GOOD)), 1] = 1.0
    weights[tokenizer.convert_tokens_to_ids(list(BAD)), 0] = 1.0
    np.savez(folder / "weights.npz", weights=weights)
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "no", "1": "yes"}}))


def test_a_folder_that_only_its_runtime_reads_is_judged(repository: Path) -> None:
    write_linear(repository / "linear")
    run = run_of(repository, SUITES[2])
    ours = run.build("ours").artifact
    weights = np.load(repository / "linear/weights.npz")["weights"]
    tokenizer = AutoTokenizer.from_pretrained(repository / "model")
    expected = [
        weights[tokenizer(mail, truncation=True, max_length=64)["input_ids"]].sum(axis=0).argmax()
        for mail in run.rows.gate.table["mail"].to_pylist()
    ]
    outcomes = run.measure_outcomes("ours")
    assert isinstance(outcomes, ClassOutcomes)
    assert outcomes.predictions.tolist() == expected
    assert ours.manifest["parameters"] is None
    assert ours.manifest["bytes"] > weights.nbytes
    assert (ours.folder / "weights.npz").read_bytes() == (repository / "linear/weights.npz").read_bytes()


def test_its_runtime_gives_a_wrong_number_of_scores(repository: Path) -> None:
    write_linear(repository / "linear", outputs=3)
    run = run_of(repository, SUITES[2])
    with pytest.raises(MeasureError, match=r"probabilities have shape \(100, 3\), expected \(100, 2\)"):
        run.measure_outcomes("ours")


def test_the_task_that_delegates_reads_mails_without_quotes(repository: Path) -> None:
    run = run_of(repository, SUITES[0])
    task = run.suite.setup.task
    tokenizer = run.build("teacher").artifact.load("cpu").tokenizer
    encoded = task.object.encode_rows(task.params, Rows(run.rows.gate.table.slice(0, 1)), tokenizer)
    line = run.rows.gate.table["mail"][0].as_py().split("\n")[0]
    assert tokenizer.decode(encoded.columns["input_ids"][0]) == f"[CLS] {line} [SEP]"
    assert compute_value(load_metric("accuracy"), run.measure_outcomes("teacher")) > 0.8
    verdict = judge_quality(
        load_metric("accuracy"),
        run.measure_outcomes("teacher"),
        run.measure_outcomes("int8"),
        [QualityBudget(kind="drop_points", limit=10.0)],
    ).verdict
    assert verdict is Verdict.PASS


@pytest.mark.parametrize("installed", [False, True])
def test_init_writes_a_suite_for_it_if_named_and_if_installed(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.chdir(repository)
    name = "preferences" if installed else "mytools.preferences:Preferences"
    entry = "[slimgate.tasks]\npreferences = mytools.preferences:Preferences\n" if installed else ""
    options = ["--model", "model", "--data", "bench/preferences.jsonl", "--name", "mine"]
    with add_package(tmp_path / "packages", "mytools_added", "", entry):
        assert main(["init", "--yes", *options, *([] if installed else ["--task", name])]) == 0
        suite = tomllib.loads((repository / "bench/mine.toml").read_text("utf-8"))
        task = suite["task"]
        assert (task["kind"], task["better"], task["worse"]) == (name, "chosen", "rejected")
        assert list(suite["budgets"]["mytools.preferences:pair_accuracy"]) == ["drop_points"]
        assert load_suite(repository / "bench/mine.toml").setup.task.name == name


def test_the_task_from_scratch_learns_is_compressed_and_judged(repository: Path) -> None:
    run = run_of(repository, SUITES[1])
    name = "mytools.preferences:pair_accuracy"
    metric, teacher = load_metric(name), run.measure_outcomes("teacher")
    assert len(teacher) == len(run.rows.gate)  # of two inputs a row
    assert compute_value(metric, teacher) > 0.9
    budget = QualityBudget(kind="drop_points", limit=10.0)
    assert judge_quality(metric, teacher, run.measure_outcomes("int8"), [budget]).verdict is Verdict.PASS
    assert compute_value(metric, run.measure_outcomes("distilled")) > 0.5
    damage_rows = run.suite.setup.task.object.with_planted_fault
    assert (
        judge_exchanged_answers(teacher, name, budget, seed=0, damage_rows=damage_rows).verdict
        is not Verdict.PASS
    )
