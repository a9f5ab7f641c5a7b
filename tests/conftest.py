"""What tests of suites share: a tiny model and rows, made once, and folders like a user's repository."""

from __future__ import annotations

import gc
import os
import re
import sys
import warnings
from collections.abc import Generator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.judge_command import Command, Judge

from fixtures.models.tiny import write_rows, write_tiny_bert

# Tiny models run no faster with a second thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def keep_to_own_cores() -> None:
    """Gives a worker of pytest-xdist, and the processes that it starts, a share of the cores.

    No other worker has these cores, unless there are more workers than cores, or one replaces another that
    crashed.

    Waiting threads of ONNX Runtime, OpenVINO and PyTorch spin: on cores that two workers shared, a test of 25
    seconds took 170.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or not hasattr(os, "sched_setaffinity"):
        return
    number, workers = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[number::workers] or [cores[number % len(cores)]])


keep_to_own_cores()

NOT_ALWAYS_THERE = (
    "torch",
    "transformers",
    "datasets",
    "sklearn",
    "safetensors",
    "accelerate",
    "evaluate",
    "huggingface_hub",
    "pandas",
    "statsmodels",
)

SUITE = """\
[suite]
title = "tiny"
threads = 1

[task]
kind = "text_classification"
source = { name = "files", path = "rows.csv" }
text = ["text"]
label = "label"
group = "file"
max_tokens = 16
splits = { train = 60, calibration = 16, selection = 24, gate = 60 }

[teacher]
model = "../model"
steps = [{ fine_tune = { epochs = 1 } }]

[variants]
student = { steps = [{ keep_layers = [0, 3] }] }
int8 = { from = "student", steps = [{ int8_dynamic = {} }] }

[budgets]
accuracy = { drop_points = 2.0 }

[measure]
metrics = ["accuracy"]
workloads = [{ batch = 1 }]
rounds = 3
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves slow tests out of a run of whole folders, unless `-m` says what to run."""
    named = [argument for argument in config.args if not Path(argument.partition("::")[0]).is_dir()]
    if config.option.markexpr or named:
        return
    fast = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("slow")])
    items[:] = fast


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names a case by its options or sequence, which pytest would only number."""
    if isinstance(val, dict | list | tuple) and is_plain(val):
        return format_case(val)[:60] or "nothing"
    return None


def is_plain(value: object) -> bool:
    """Whether the text of a value is the same in every process."""
    if isinstance(value, dict):
        return all(map(is_plain, (*value, *value.values())))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return value is None or isinstance(value, str | int | float)


def format_case(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={format_case(item)}" for key, item in value.items())
    return ",".join(map(format_case, value)) if isinstance(value, list | tuple) else str(value)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A file of tests that imports a package of an extra, models or docs, is left out where it is missing."""
    report = yield
    missing = re.search(rf"No module named '({'|'.join(NOT_ALWAYS_THERE)})[.']", str(report.longrepr))
    if report.failed and isinstance(collector, pytest.Module) and missing and find_spec(missing[1]) is None:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {missing[1]} is not installed")
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Ten thousand collected tests are a million objects, which stay: looking for garbage takes seconds.

    With `-W error`, the first import of torchao in a new environment would be a SyntaxError: Python warns of
    the library's strings while it compiles them.
    """
    warnings.filterwarnings("ignore", "invalid escape sequence")  # pytest undoes it after the collection
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()  # many libraries call gc.collect()
        gc.enable()


@pytest.fixture(scope="module", autouse=True)
def freeze_before_each_module() -> None:
    """What the modules before it imported stays to the end as well. Their last test is gone by now."""
    freeze_objects()


_modules_when_frozen = 0


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """What a test has imported stays: a training collects garbage several times, for half a second each."""
    if len(sys.modules) > _modules_when_frozen + 100:
        freeze_objects()


def freeze_objects() -> None:
    """Hides what is alive from later garbage collections, which then take milliseconds, not seconds."""
    global _modules_when_frozen
    gc.collect()
    gc.freeze()
    _modules_when_frozen = len(sys.modules)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random BERT of four blocks, without a head."""
    return write_tiny_bert(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A csv of 1,200 rows: text, label (pos, neg), file."""
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.csv", 1200)


@pytest.fixture(scope="session")
def openvino_tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A BERT of two blocks as an OpenVINO graph, which no test changes, and the context of its export."""
    from fixtures.models.openvino_models import export_random_model

    return export_random_model(tmp_path_factory.mktemp("openvino"))


@pytest.fixture
def suite_text() -> str:
    """A small suite that is right in every way; tests change one line of it."""
    return SUITE


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """The bench folder of a repository whose model can be validated but not loaded: no torch is needed."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"num_hidden_layers": 4, "max_position_embeddings": 64}')
    for name in ("model.safetensors", "tokenizer.json"):
        (model / name).touch()
    folder = tmp_path / "bench"
    folder.mkdir()
    (folder / "rows.csv").write_text("text,label,file\ngood film,pos,f0\n")
    return folder


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without bfloat16."""
    monkeypatch.setattr("slimgate.models.precision._has_cpu_bf16", lambda: False)


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers of steps are forked from a process that has imported their libraries."""
    from support.warm_workers import fork_workers

    fork_workers(monkeypatch)


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command of slimgate, such as `run_command("judge", base, target)`."""
    from slimgate.cli.main import main

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([*map(str, arguments)])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def judge(run_command: Command) -> Judge:
    """Runs `slimgate judge`."""
    return partial(run_command, "judge")
