"""What README.md shows is true: its code is run as it stands there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from tiny_suite import tiny_run

from slimgate.loading import known, load

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def section(title: str) -> str:
    """The text below a heading, up to the next."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_method_of_add_your_own_runs_in_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = section("Add your own")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [step] = re.findall(r"a suite's step `(\{.*?\})`", text, re.DOTALL)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mytools").mkdir()
    (tmp_path / "mytools/rounding.py").write_text(code)
    run = tiny_run(tmp_path, **{"{ keep_layers = [0, 2] }": step})
    [built] = run.built("shorter").steps
    assert built.manifest["method"] == "mytools.rounding:round_weights"
    assert built.manifest["log"] == {"digits": 2}
    weights = next(iter(built.load("cpu").network.parameters())).data
    assert bool((weights * 100 - (weights * 100).round()).abs().max() < 1e-4)


def test_the_files_that_add_your_own_names_are_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", section("Add your own"))
    assert len(links) == 8
    assert [link for link in links if not (Path(__file__).parents[1] / link).is_file()] == []


def test_the_task_that_the_readme_shows_is_right() -> None:
    text = section("A suite in 15 lines")
    [shown] = [code for code in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "token_class" in code]
    task = tomllib.loads(shown)["task"]
    source = load("source", task["source"].pop("name"))
    source.Params.model_validate(task.pop("source"))
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in task.items()}
    load("task", options.pop("kind")).Params.model_validate(options)
    listed = set(re.findall(r"^\| `(\w+)` \| [a-z]", text, re.MULTILINE))
    assert {"text_regression", "multi_label", "token_classification"} <= listed <= set(known("task"))
