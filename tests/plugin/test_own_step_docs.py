"""docs/own_step.md in a repository of its own: its files are written, its commands are run."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.doc_blocks import list_blocks, list_commands, read_files
from support.user_repository import Ran, run_pytest

from fixtures.models.tiny import write_rows, write_tiny_bert
from slimgate.record.outcome_files import read_outcomes

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/own_step.md").read_text("utf-8")
FILES = read_files("docs/own_step.md")
COMMANDS = list_commands("docs/own_step.md")
TEXTS = [block.text for block in list_blocks("docs/own_step.md", "text")]
TIMED = "pytest bench/half.toml -k bfloat16"
STEP = "mytools.neurons:DropNeurons"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that the page describes, with a tiny model and tiny rows."""
    folder = tmp_path_factory.mktemp("repository")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        text = text.replace("[task]\n", "threads = 1\n[task]\n") if name == "bench/neurons.toml" else text
        (folder / name).write_text(text, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    write_tiny_bert(folder / "model", initializer_range=0.2)
    rows = write_rows(folder / "bench/reviews.csv", 900).read_text("utf-8").splitlines()[1:]
    with sqlite3.connect(folder / "bench/reviews.db") as database:
        database.execute("CREATE TABLE reviews (text TEXT, label TEXT)")
        database.executemany("INSERT INTO reviews VALUES (?, ?)", [row.split(",")[:2] for row in rows])
    return folder


@pytest.fixture(scope="module")
def ran(repository: Path) -> dict[str, Ran]:
    """Every pytest command of the page, in its order. One measures times: that starts a process a model."""
    runs = {}
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        if program == "pytest":
            untimed = [] if command == TIMED else ["--benchmark-skip"]
            runs[command] = run_pytest(repository, "-v", *arguments, *untimed)
    return runs


def of_suite(repository: Path, suite: str) -> dict[str, dict[str, Any]]:
    record = json.loads((repository / f"reports/latest/{suite}/run.json").read_text())
    return {variant["name"]: variant for variant in record["variants"]}


def test_the_page_holds_the_files_that_it_lists() -> None:
    names = re.findall(r"\w+\.(?:py|toml)", TEXTS[0])
    assert {Path(name).name for name in FILES} == {
        *names,
        "heard.toml",
        "worst_class.toml",
        "database.toml",
        "half.toml",
        "download.toml",
    }
    assert PAGE.count("```toml") + PAGE.count("```python") == len(FILES) + 1  # and the line with a version


def test_every_command_of_the_page_succeeds(ran: dict[str, Ran]) -> None:
    assert list(ran) == [command for command in COMMANDS if command.startswith("pytest ")]
    assert {command: run.out for command, run in ran.items() if run.code} == {}


def test_the_steps_own_tests_run_on_every_variant(ran: dict[str, Ran]) -> None:
    run = ran["pytest tests/test_neurons.py"]
    name = "test_the_files_are_smaller"
    for variant in ("fewer-neurons", "half"):
        assert run.find_outcome(f"tests/test_neurons.py::{name}[neurons-{variant}]") == "PASSED", run.out


def test_the_step_takes_neurons_out_and_says_so(ran: dict[str, Ran], repository: Path) -> None:
    assert ran
    models = of_suite(repository, "neurons")
    for name, neurons in (("fewer-neurons", 48), ("half", 32)):
        step, claims = models[name]["steps"][0], models[name]["claims"]
        assert step["name"] == STEP
        assert step["log"]["neurons_kept"] == [neurons] * 4
        assert [claim["held"] for claim in claims if claim["step"] == STEP] == [True, True]


def test_the_step_that_looks_at_rows_chooses_other_neurons(ran: dict[str, Ran], repository: Path) -> None:
    assert ran
    models = of_suite(repository, "heard")
    step = models["unheard-half"]["steps"][0]
    assert step["log"]["neurons_kept"] == [32] * 4
    assert models["unheard-half"]["artifact"]["digest"] != models["half"]["artifact"]["digest"]
    assert models["unheard-half"]["artifact"]["bytes"] == models["half"]["artifact"]["bytes"]


def test_slimgate_steps_tells_of_it(repository: Path) -> None:
    [command] = [command for command in COMMANDS if command.startswith("slimgate ")]
    done = subprocess.run(  # -P: as the installed command, which does not look in the folder by itself
        [sys.executable, "-P", "-m", "slimgate.cli.main", *shlex.split(command)[1:]],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "share     number, > 0, < 1  required" in done.stdout
    assert "promises             smaller, fewer_parameters" in done.stdout


def test_the_metric_has_a_verdict_and_is_the_worst_recall(ran: dict[str, Ran], repository: Path) -> None:
    assert ran
    model = of_suite(repository, "worst_class")["half"]
    facts = model["quality"]["mytools.worst_class:worst_class_recall"]
    assert facts["verdict"] == "PASS"
    outcomes = read_outcomes(repository / "reports/latest/worst_class/outcomes/half.parquet")
    recalls = [outcomes.right[outcomes.labels == label].mean() for label in range(2)]
    assert facts["value"] == pytest.approx(min(recalls))


def test_the_source_reads_the_rows_of_the_database(ran: dict[str, Ran]) -> None:
    run = ran["pytest bench/database.toml --slimgate-plan"]
    assert "rows: train 300, calibration 0, selection 50, gate 400" in run.out


def test_a_query_that_sqlite_refuses_is_one_line(repository: Path) -> None:
    broken = (repository / "bench/database.toml").read_text().replace("text, label FROM", "texts, label FROM")
    (repository / "bench/broken.toml").write_text(broken)
    run = run_pytest(repository, "bench/broken.toml")
    (repository / "bench/broken.toml").unlink()
    assert run.code == 4
    assert "reviews.db: no such column: texts" in run.out
    assert "Traceback" not in run.out


def test_the_runtime_executes_its_variant_alone(ran: dict[str, Ran], repository: Path) -> None:
    assert ran
    models = of_suite(repository, "half")
    assert models["bfloat16"]["artifact"]["runtime"] == "mytools.half:Half"
    assert models["bfloat16"]["artifact"]["runtime_params"] == {"dtype": "bfloat16"}
    assert models["teacher"]["artifact"]["runtime"] == "eager"
    assert models["bfloat16"]["quality"]["accuracy"]["verdict"] == "PASS"
    assert models["bfloat16"]["latency"]["b1"]["p50_ms"] > 0


MISTAKES = TEXTS[1].splitlines()


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        (
            '[{ "mytools.neurons:DropNeurons" = { share = 0.5',
            '[{ "mytools.neurons:DropNeuron" = { share = 0.5',
            0,
        ),
        ("share = 0.5", "share = 1.5", 1),
    ],
    ids=["name", "range"],
)
def test_a_mistake_says_what_the_page_says(repository: Path, right: str, wrong: str, line: int) -> None:
    suite = repository / "bench/neurons.toml"
    text = suite.read_text()
    assert right in text
    suite.write_text(text.replace(right, wrong))
    run = run_pytest(repository, "bench/neurons.toml")
    suite.write_text(text)
    assert run.code == 4
    assert MISTAKES[line] in run.out


def stored(repository: Path) -> set[str]:
    """The variants that the store has, as a plan tells."""
    run = run_pytest(repository, "bench/neurons.toml", "--slimgate-plan")
    assert run.code == 0, run.out
    return set(re.findall(r"^ *([\w-]+) +teacher -> .* in the store", run.out, re.MULTILINE))


def test_only_what_changed_is_built_anew(ran: dict[str, Ran], repository: Path) -> None:
    assert ran
    code, suite = repository / "mytools/neurons.py", repository / "bench/neurons.toml"
    as_told, names = code.read_text(), {"fewer-neurons", "half"}
    code.write_text(as_told.replace("# as suites write it", "# as every suite writes it"))
    assert stored(repository) == names
    code.write_text(as_told.replace("max(1, round(", "max(2, round("))
    assert stored(repository) == set()
    code.write_text(as_told)
    suite.write_text(suite.read_text().replace("share = 0.25", "share = 0.3"))
    assert stored(repository) == {"half"}
    suite.write_text(suite.read_text().replace("share = 0.3", "share = 0.25"))


def test_a_version_stands_for_the_code(ran: dict[str, Ran], repository: Path) -> None:
    assert ran
    code = repository / "mytools/neurons.py"
    as_told = code.read_text()
    [version] = re.findall(r'^slimgate_version = "1"', PAGE, re.MULTILINE)
    code.write_text(f"{as_told}\n{version}\n")
    assert stored(repository) == set()
    assert run_pytest(repository, "bench/neurons.toml", "-k", "quality and fewer").code == 0
    code.write_text(f"{as_told.replace('max(1, round(', 'max(2, round(')}\n{version}\n")
    assert stored(repository) == {"fewer-neurons"}
    code.write_text(f"{as_told}\n{version.replace('1', '2')}\n")
    assert stored(repository) == set()
    code.write_text(as_told)
