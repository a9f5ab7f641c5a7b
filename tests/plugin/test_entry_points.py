"""A wheel adds a runtime, a metric, a task and a measurement by being installed; equal names are refused."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.user_repository import run_pytest

CODE = '''
"""Plug-ins of a package of somebody's own."""

import numpy as np

from slimgate import Measurement
from slimgate.judge.metrics import Metric
from slimgate.plugins.params import Table
from slimgate.tasks import text_classification


class Twice:
    """PyTorch, asked twice, whose scores are the mean."""

    class Params(Table):
        times: int = 2

    kinds = frozenset({"torch"})

    def load(self, folder, params, *, device, threads):
        from slimgate.runtimes import eager

        class Predictor(eager.EagerPredictor):
            def forward(self, prepared):
                ask = super().forward
                return sum(ask(prepared) for _ in range(params.times)) / params.times

        inner = eager.runtime.load(folder, eager.Params(), device=device, threads=threads)
        return Predictor(inner.network, device)


class LowerCase:
    """text_classification of other texts."""

    class Params(text_classification.Params):
        pass

    def __getattr__(self, name):
        return getattr(text_classification.task, name)


class Files(Measurement):
    """How many files a model has."""

    title = "files of a model"
    readings = 1

    def measure(self, model):
        return sum(file.is_file() for file in model.folder.rglob("*"))


def statistic(outcomes, weights):
    right = (outcomes.predictions == outcomes.labels) & (outcomes.labels == 0)
    return (weights @ right) / np.maximum(weights @ (outcomes.labels == 0), 1e-9)


first_class_recall = Metric(
    name="first_class_recall",
    higher_is_better=True,
    value_range=(0.0, 1.0),
    needs="prediction",
    statistic=statistic,
)
'''
ENTRIES = """\
[slimgate.runtimes]
twice = added_to_slimgate:Twice
[slimgate.tasks]
lower_case = added_to_slimgate:LowerCase
[slimgate.measurements]
files = added_to_slimgate:Files
[slimgate.metrics]
first_class_recall = added_to_slimgate:first_class_recall
"""
SUITE = """\
[suite]
title = "plug-ins of a wheel"
extends = "_common.toml"

[task]
kind = "lower_case"

[variants]
again = { steps = [], runtime = { name = "twice", times = 3 } }

[budgets]
first_class_recall = { drop_points = 5.0 }
measurements.files = { value_ratio_max = 1.0 }

[measure]
metrics = ["first_class_recall"]
"""


def install(target: Path, name: str, entries: str) -> None:
    """Builds the wheel of a package of that name, and has pip install it into a folder."""
    wheel = target.parent / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": CODE,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": entries,
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{about}/RECORD": record}.items():
            archive.writestr(path, text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target]
    subprocess.run([*map(str, pip), str(wheel)], check=True)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python finds installed packages in."""
    target = tmp_path / "packages"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")]))
    return target


def test_a_suite_uses_what_an_installed_package_adds(fresh_repository: Path, packages: Path) -> None:
    install(packages, "added_to_slimgate", ENTRIES)
    (fresh_repository / "bench/added.toml").write_text(SUITE)

    ran = run_pytest(
        fresh_repository, "bench/added.toml", "-k", "quality or measurement", new_interpreter=True
    )

    assert ran.code == 0, ran.out
    again = ran.find_variant("added", "again")
    artifact = again["artifact"]
    assert (artifact["runtime"], artifact["runtime_params"]) == ("twice", {"times": 3})
    assert again["quality"]["first_class_recall"]["verdict"] == "PASS"
    assert ran.record("added")["task"]["kind"] == "lower_case"
    files = again["measurements"]["files"]
    assert (files["ratio"], files["verdict"]) == (1.0, "PASS")
    line = "again: files of a model 6 vs 6, 1 of the teacher's, budget value_ratio_max 1: PASS"
    assert files["message"] == line
    report = fresh_repository / "reports/latest/added"
    assert line in (report / "report.md").read_text("utf-8")
    page = (report / "report.html").read_text("utf-8")
    assert "files of a model, ratio" in page
    assert "at most 1 of the teacher" in page


def test_a_name_that_two_have_is_one_error(fresh_repository: Path, packages: Path) -> None:
    install(packages, "added_to_slimgate", ENTRIES)
    install(packages, "added_by_another", ENTRIES.replace("added_to_slimgate", "added_by_another"))
    (fresh_repository / "bench/added.toml").write_text(SUITE)

    ran = run_pytest(fresh_repository, "bench/added.toml", "-k", "quality", new_interpreter=True)

    assert ran.code == 4
    [line] = [line for line in ran.lines if "is the name of several" in line]
    assert "added_by_another:LowerCase of added_by_another" in line
    assert "added_to_slimgate:LowerCase of added_to_slimgate" in line
