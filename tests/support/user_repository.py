"""A repository like a user's, with two suites and its own steps, in which tests run `pytest`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fixtures.models.tiny import write_tiny_bert
from fixtures.own import source as own_source
from support.warm_python import run_module

ROOT = Path(__file__).parents[2]

OWN_STEPS = '''
"""Steps of our own: one leaves the model as it is, one turns its answers round, one breaks."""

from slimgate.plugins.params import Table
from slimgate.plugins.step import Step


class Options(Table):
    pass


class OwnStep(Step[Options]):
    pass


class Same(OwnStep):
    def apply(self, model, params, context):
        return model


class Invert(OwnStep):
    def apply(self, model, params, context):
        model.network.classifier.weight.data.neg_()
        model.network.classifier.bias.data.neg_()
        return model


class Broken(OwnStep):
    def apply(self, model, params, context):
        raise RuntimeError("the wheel came off")
'''

COMMON = """\
[suite]
title = "film reviews of made-up words"
threads = 1

[task]
kind = "text_classification"
source = { name = "files", path = "rows.csv", real = false }
text = ["text"]
label = "label"
max_tokens = 16
pooling = "mean"
splits = { train = 200, calibration = 16, selection = 40, gate = 400 }

[teacher]
model = "../model"

[measure]
metrics = ["accuracy", "mcc"]
workloads = [{ batch = 1 }]
warmup = 1
rounds = 3
max_seconds = 0.2
"""

ONE_SUITE = """\
[suite]
title = "steps of our own"
extends = "_common.toml"

[variants]
same = { steps = [{ "own_steps:Same" = {} }] }
damaged = { steps = [{ "own_steps:Invert" = {} }] }
unsure = { steps = [{ "own_steps:Same" = {} }] }
shown = { steps = [{ "own_steps:Invert" = {} }], gated = false, reason = "to see what it costs" }
broken = { steps = [{ "own_steps:Broken" = {} }] }

[budgets]
accuracy = { drop_points = 5.0 }
[budgets.variants.unsure]
accuracy = { drop_points = 0.1 }
"""

TWO = """\
[suite]
title = "slimgate's own steps"
extends = "_common.toml"

[variants]
same = { steps = [{ keep_layers = [0, 3] }, { fine_tune = { epochs = 1, learning_rate = 1e-3 } }] }
int8 = { from = "same", steps = [{ int8_dynamic = {} }] }
unsure = { steps = [{ "own_steps:Same" = {} }] }

[budgets]
size = { compression_min = 0.5 }
[budgets.variants.unsure]
accuracy = { drop_points = 0.1 }

[measure]
on_inconclusive = "warn"
"""

# Variables of the process that runs the tests.
NOT_PASSED_ON = ("SLIMGATE_STORE", "HF_DATASETS_CACHE", "HF_DATASETS_OFFLINE", "HF_HUB_CACHE")


@dataclass(frozen=True)
class Ran:
    """One run of pytest. out, lines: its output. records: by suite, records that later runs overwrote."""

    code: int
    out: str
    seconds: float
    folder: Path
    lines: list[str] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)

    def record(self, suite: str) -> dict[str, Any]:
        """The run.json of a suite, from `records` if it is there."""
        if suite in self.records:
            return self.records[suite]
        return dict(json.loads((self.folder / f"reports/latest/{suite}/run.json").read_text()))

    def find_variant(self, suite: str, name: str) -> dict[str, Any]:
        """A variant's record."""
        return dict(next(v for v in self.record(suite)["variants"] if v["name"] == name))

    def find_outcome(self, node: str) -> str:
        """PASSED, FAILED, SKIPPED or ERROR, as -v prints it; "" if the test did not run."""
        for line in self.lines:
            if node in line.split() and (
                words := {"PASSED", "FAILED", "SKIPPED", "ERROR"} & set(line.split())
            ):
                return words.pop()
        return ""


def make_user_environment(**more: str) -> dict[str, str]:
    """The environment variables of a user's shell, without those of the pytest that runs this test.

    HF_HOME is an empty folder, or that of `hub_home`.
    """
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HOME": str(_find_hub_link()),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        **more,
    }
    for name in list(variables):
        if name.startswith("PYTEST_") or name in NOT_PASSED_ON:
            del variables[name]
    return variables


@contextmanager
def hub_home(folder: Path) -> Iterator[None]:
    """Makes a folder HF_HOME for the runs of the block.

    Libraries read HF_HOME while they are imported. Its path is the same for all runs, or each folder would
    need another warm process.
    """
    link = _find_hub_link()
    empty = link.readlink()
    _point(link, folder)
    try:
        yield
    finally:
        _point(link, empty)


def _point(link: Path, folder: Path) -> None:
    link.unlink()
    link.symlink_to(folder, target_is_directory=True)


def _find_hub_link() -> Path:
    return Path(_make_hub_folder().name, "home")


@cache
def _make_hub_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder with the link `home` to an empty folder."""
    folder = tempfile.TemporaryDirectory(prefix="hub-home-")
    Path(folder.name, "empty").mkdir()
    Path(folder.name, "home").symlink_to("empty", target_is_directory=True)
    return folder


def run_pytest(folder: Path, *arguments: str, new_interpreter: bool = False) -> Ran:
    """Runs pytest in a folder, in a separate process. new_interpreter: start Python, for tests of imports."""
    environment = make_user_environment(COLUMNS="300")
    start = time.perf_counter()
    # users do not have hypothesis, and its import takes a while
    options = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", *map(str, arguments)]
    if new_interpreter:
        command = [sys.executable, "-m", "pytest", *options]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
        )
    else:
        done = run_module("pytest", options, folder, environment)
    out = done.stdout + done.stderr
    return Ran(done.returncode, out, time.perf_counter() - start, folder, out.splitlines())


def write_repository(folder: Path, model: Path, rows: Path) -> Path:
    """Writes the repository: pytest.ini, own_steps.py, model/, bench/."""
    shutil.copytree(model, folder / "model")
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "own_steps.py").write_text(OWN_STEPS)
    bench = folder / "bench"
    bench.mkdir()
    shutil.copy(rows, bench / "rows.csv")
    for name, text in (("_common", COMMON), ("one", ONE_SUITE), ("two", TWO)):
        (bench / f"{name}.toml").write_text(text)
    return folder


def write_clone(folder: Path, suite: str, text: str) -> Path:
    """A copy of a fresh clone with fixtures/ and bench/own_plugins.toml, which the suite extends.

    suite: its file name; its teacher "../model" is a tiny model that knows the words of own_source.py.
    """
    texts = str([own_source.TITLES, own_source.COMPLAINTS, own_source.THINGS, own_source.WORDS])
    words = tuple(dict.fromkeys(re.findall(r"[a-z]+", texts.lower())))
    write_tiny_bert(folder / "model", words=words, initializer_range=0.2)
    shutil.copytree(ROOT / "fixtures", folder / "fixtures", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "bench").mkdir()
    shutil.copy(ROOT / "bench/own_plugins.toml", folder / "bench")
    (folder / "bench" / suite).write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder
