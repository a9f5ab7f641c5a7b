"""README.md, the pages of docs/ and bench/README.md list everything, and what README shows runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
from support.doc_blocks import list_blocks, read_files
from support.doc_checks import write_surroundings
from support.tiny_suite import make_tiny_run

from slimgate.budgets.registry import list_metric_kinds
from slimgate.cli.main import main
from slimgate.errors import SuiteError
from slimgate.judge.metrics import load_metric
from slimgate.plugins.loading import list_known_plugins, load
from slimgate.suite.reader import load_suite
from tools.reference.suites import update_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
OWN_STEP = (ROOT / "docs/own_step.md").read_text("utf-8")
TASKS = (ROOT / "docs/tasks.md").read_text("utf-8")
SUITES = (ROOT / "bench/README.md").read_text("utf-8")


def test_the_two_commands_come_first_and_are_one_short_line_each() -> None:
    first, second, *_ = [block.text for block in list_blocks("README.md", "console")]
    assert (first, second) == ("$ ./try bench\n", "$ ./try tests\n")
    assert README.index(second) < README.index("## ")
    assert (ROOT / "try").stat().st_mode & 0o111
    assert "./try tests -q" in (ROOT / ".ci/run").read_text("utf-8")


def test_try_without_a_word_says_how_it_is_used() -> None:
    done = subprocess.run(["./try"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.split(" [")[0]) == (4, "usage: ./try bench")


def test_the_two_files_are_judged_as_the_readme_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [shown] = [block.text for block in list_blocks("README.md", "console") if "teacher.csv" in block.text]
    [command] = [line for line in shown.splitlines() if line.startswith("$ slimgate ")]
    monkeypatch.chdir(ROOT / "docs/example_predictions")
    assert main(shlex.split(command)[2:]) == 0
    out = capsys.readouterr().out
    assert shown.partition(f"{command}\n")[2] == out
    [brackets] = re.findall(r"drop (\S+) points \[(\S+), (\S+)\]", out)
    assert all(f"{figure}" in README.partition(shown)[2].split("\n## ")[0] for figure in brackets)


def test_the_function_that_is_a_step_runs_in_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [step] = re.findall(r"write the step `(\{.*?\})`", OWN_STEP, re.DOTALL)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mytools").mkdir()
    (tmp_path / "mytools/rounding.py").write_text(read_files("docs/own_step.md")["mytools/rounding.py"])
    run = make_tiny_run(tmp_path, **{"{ keep_layers = [0, 2] }": step})
    [built] = run.build("shorter").steps
    assert built.manifest["step"] == "mytools.rounding:round_weights"
    assert built.manifest["log"]["digits"] == 2
    weights = next(iter(built.load("cpu").network.parameters())).data
    assert bool((weights * 100 - (weights * 100).round()).abs().max() < 1e-4)


def test_a_mistake_is_answered_as_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [suite] = list_blocks("README.md", "toml")
    [line] = [
        block.text.strip() for block in list_blocks("README.md", "text") if "Did you mean" in block.text
    ]
    (tmp_path / "bench").mkdir()
    write_surroundings(tmp_path / "bench", tomllib.loads(suite.text))
    (tmp_path / "bench/reviews.toml").write_text(suite.text.replace("keep_layers", "keep_layer"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError) as error:
        load_suite(Path("bench/reviews.toml"), "bench/reviews.toml")
    assert str(error.value) == line


KINDS = [tomllib.loads(block.text)["task"]["kind"] for block in list_blocks("docs/tasks.md", "toml")]


def test_every_task_has_an_example() -> None:
    assert set(KINDS) == set(list_known_plugins("task"))


def test_every_task_and_its_metrics_are_listed() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", TASKS, re.MULTILINE)
    assert {name for name, _ in rows} == set(list_known_plugins("task"))
    for name, metrics in rows:
        needs = {load_metric(metric).needs for metric in re.findall(r"`(\w+)`", metrics)}
        assert needs <= load("task", name).provides()


def test_every_suite_is_listed_with_its_first_sentence() -> None:
    suites = {path.name for path in (ROOT / "bench").glob("*.toml") if not path.name.startswith("_")}
    assert set(re.findall(r"^\| `(\w+\.toml)` \|", SUITES, re.MULTILINE)) == suites
    assert update_table(SUITES) == SUITES, "run python -m tools.reference.suites"


def test_every_step_is_listed() -> None:
    text = (ROOT / "docs/compress.md").read_text("utf-8")
    assert [name for name in list_known_plugins("step") if f"`{name}`" not in text] == []


def test_every_reader_of_logs_is_listed() -> None:
    text = (ROOT / "docs/log_formats.md").read_text("utf-8")
    assert [name for name in list_known_plugins("log") if f"| `{name}` |" not in text] == []


def test_every_kind_of_budget_on_a_metric_is_listed() -> None:
    text = (ROOT / "docs/budgets.md").read_text("utf-8")
    assert [name for name in list_metric_kinds() if f"`{name} = " not in text] == []


def test_every_extra_is_listed_once_with_a_hyphen() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    page = (ROOT / "docs/install.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| `slimgate\[([\w-]+)\]` \|", page, re.MULTILINE)) == sorted(extras)
    assert not any("_" in name for name in extras)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130
