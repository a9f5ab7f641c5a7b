"""README.md, docs/tasks.md and bench/README.md list everything, and the step of the README runs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from support.doc_blocks import blocks, files
from support.doc_checks import write_surroundings
from support.tiny_suite import tiny_run

from slimgate.errors import SuiteError
from slimgate.judge.metrics import load_metric
from slimgate.plugins.loading import known_plugins, load
from slimgate.suite.load import load_suite

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
TASKS = (ROOT / "docs/tasks.md").read_text("utf-8")
SUITES = (ROOT / "bench/README.md").read_text("utf-8")


def section(title: str) -> str:
    """The text below a heading, up to the next."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_method_of_add_your_own_runs_in_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [step] = re.findall(r"a suite's step `(\{.*?\})`", section("Add your own"), re.DOTALL)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mytools").mkdir()
    (tmp_path / "mytools/rounding.py").write_text(files("README.md")["mytools/rounding.py"])
    run = tiny_run(tmp_path, **{"{ keep_layers = [0, 2] }": step})
    [built] = run.build("shorter").steps
    assert built.manifest["step"] == "mytools.rounding:round_weights"
    assert built.manifest["log"]["digits"] == 2
    weights = next(iter(built.load("cpu").network.parameters())).data
    assert bool((weights * 100 - (weights * 100).round()).abs().max() < 1e-4)


def test_a_mistake_is_answered_as_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [suite] = blocks("README.md", "toml")
    [line] = [block.text.strip() for block in blocks("README.md", "text") if "Did you mean" in block.text]
    (tmp_path / "bench").mkdir()
    write_surroundings(tmp_path / "bench", tomllib.loads(suite.text))
    (tmp_path / "bench/reviews.toml").write_text(suite.text.replace("keep_layers", "keep_layer"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SuiteError) as error:
        load_suite(Path("bench/reviews.toml"), "bench/reviews.toml")
    assert str(error.value) == line


KINDS = [tomllib.loads(block.text)["task"]["kind"] for block in blocks("docs/tasks.md", "toml")]


def test_every_task_has_an_example() -> None:
    assert set(KINDS) == set(known_plugins("task"))


@pytest.mark.parametrize("page", [section("Tasks"), TASKS], ids=["README", "tasks"])
def test_every_task_and_its_metrics_are_listed(page: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert {name for name, _ in rows} == set(known_plugins("task"))
    for name, metrics in rows:
        needs = {load_metric(metric).needs for metric in re.findall(r"`(\w+)`", metrics)}
        assert needs <= load("task", name).metrics()


def test_every_suite_is_listed() -> None:
    suites = {path.name for path in (ROOT / "bench").glob("*.toml") if not path.name.startswith("_")}
    assert set(re.findall(r"^\| `(\w+\.toml)` \|", SUITES, re.MULTILINE)) == suites


@pytest.mark.parametrize("page", ["README.md", "docs/compress.md"])
def test_every_step_is_listed(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert [name for name in known_plugins("step") if f"`{name}`" not in text] == []


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 250
