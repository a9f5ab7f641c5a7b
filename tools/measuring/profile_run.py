"""Measures the time of each stage of `pytest SUITE`, first in an empty store, and then with a full one.

    python -m tools.measuring.profile_run SUITE [PYTEST OPTION …]

Both runs are separate processes (`pytest SUITE -p tools.measuring.profile_run`), so the start of Python and
imports count. The time of a stage does not include stages inside it: judging is the time of a quality test
without building and predicting. The stages of building (train, teacher, …) are those that steps log. Run it
on a machine that does nothing else.

Overhead is the time of all stages except `NEEDED`: training, predicting and timing are the purpose of a run.
"""

from __future__ import annotations

import argparse
import builtins
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "SLIMGATE_PROFILE"
# The stages that are no overhead. The teacher's answers and the scores of epochs need predictions.
NEEDED = ("build: train", "build: teacher", "build: evaluate", "predict", "time", "self-test")
TESTS = {
    "test_quality": "judge quality",
    "test_behaviour": "judge behaviour",
    "test_size": "size",
    "test_selftest": "self-test",
    "test_latency": "time",
    "test_speedup": "time",
}
# "module:object" or "module:Class.method", in the module that looks it up -> the stage of its calls.
WRAPPED = {
    "slimgate.run.run:prepare_rows": "rows",
    "slimgate.run.run:Builder._make_artifact": "build: rest",
    "slimgate.run.run:make_outcomes": "predict",
    "slimgate.run.run:SplitEncoder.encode_for": "tokenise",
    "slimgate.plugin.suite_session:SuiteSession.write_record": "report",
    "slimgate.plugin.session:Session.finish": "report",
}
HEAVY = frozenset({"torch", "transformers", "datasets", "sklearn", "scipy", "evaluate", "accelerate", "peft"})


class Stages:
    """Seconds by stage. The time counts for the innermost running stage."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._running: list[str] = []
        self._since = clock()

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        """Counts the block's time for the stage."""
        self._settle()
        self._running.append(stage)
        try:
            yield
        finally:
            self._settle()
            self._running.pop()

    def move(self, source: str, stage: str, seconds: float) -> None:
        """Counts a part of a stage's time for another stage."""
        self._settle()
        self.seconds[source] = self.seconds.get(source, 0.0) - seconds
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def _settle(self) -> None:
        now = self._clock()
        if self._running:
            name = self._running[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


class Profile:
    """The pytest plugin: counts stages, and writes them when the session ends."""

    def __init__(self, path: Path) -> None:
        self._path, self.stages = path, Stages()
        for name, stage in WRAPPED.items():
            self._wrap(name, stage)
        self._count_imports(builtins, "__import__")
        self._count_imports(importlib, "import_module")

    def _wrap(self, name: str, stage: str) -> None:
        module, _, path = name.partition(":")
        *holders, attribute = path.split(".")
        holder: Any = functools.reduce(getattr, holders, importlib.import_module(module))
        inner = getattr(holder, attribute)

        @functools.wraps(inner)
        def timed_call(*args: Any, **kwargs: Any) -> Any:
            with self.stages.running(stage):
                result = inner(*args, **kwargs)
            if stage == "build: rest":
                self._split(result, stage)
            return result

        setattr(holder, attribute, timed_call)

    def _split(self, artifact: Any, stage: str) -> None:
        """Divides the time of a step that was built now into the stages that it logs."""
        if artifact.entry.from_store:
            return
        for part, seconds in sum_logged_seconds(artifact.manifest["log"]).items():
            if f"build: {part}" in NEEDED:
                self.stages.move(stage, f"build: {part}", seconds)

    def _count_imports(self, holder: Any, attribute: str) -> None:
        inner = getattr(holder, attribute)

        def timed_import(name: str, *args: Any, **kwargs: Any) -> Any:
            if name.partition(".")[0] not in HEAVY or name in sys.modules:
                return inner(name, *args, **kwargs)
            with self.stages.running("import"):
                return inner(name, *args, **kwargs)

        setattr(holder, attribute, timed_import)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        """Counts the collection."""
        with self.stages.running("collect"):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Counts a test, with the setup and teardown of its fixtures."""
        with self.stages.running(TESTS.get(getattr(item, "originalname", item.name), "other tests")):
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Writes the seconds when all stages are over."""
        self._path.write_text(json.dumps(self.stages.seconds), "utf-8")


def sum_logged_seconds(log: Mapping[str, Any]) -> dict[str, float]:
    """Stage -> seconds of a step's log, with those of the logs inside it."""
    by_part: dict[str, float] = dict(log.get("seconds", {}))
    inside = [*log.values(), *(log["stages"] if isinstance(log.get("stages"), list) else ())]
    for inner in inside:
        if isinstance(inner, Mapping) and "seconds" in inner and inner is not log.get("seconds"):
            for stage, seconds in sum_logged_seconds(inner).items():
                by_part[stage] = by_part.get(stage, 0.0) + seconds
    return by_part


def pytest_configure(config: pytest.Config) -> None:
    """Profiles the run if `main` has set the variable."""
    if path := os.environ.get(VARIABLE):
        config.pluginmanager.register(Profile(Path(path)), "profile-run")


def main(arguments: Sequence[str]) -> int:
    """Writes the table to stdout, and the output of the runs to stderr."""
    parser = argparse.ArgumentParser(prog="python -m tools.measuring.profile_run")
    parser.add_argument("suite", help="the file of a suite; further arguments are options of pytest")
    options, pytest_options = parser.parse_known_args(arguments)
    arguments = [options.suite, *pytest_options]
    with tempfile.TemporaryDirectory(prefix="profile-run-") as scratch:
        runs = {name: profile_run(arguments, Path(scratch), name) for name in ("cold", "warm")}
    sys.stdout.write(format_table(runs))
    return 0


def profile_run(arguments: Sequence[str], scratch: Path, name: str) -> dict[str, float]:
    """Seconds of a run by stage, and in "all" of the whole run. Raises RuntimeError if the run failed."""
    path = scratch / f"{name}.json"
    folders = [f"--slimgate-store={scratch / 'store'}", f"--slimgate-report={scratch / 'report'}"]
    command = [sys.executable, "-m", "pytest", *arguments, "-p", "tools.measuring.profile_run", *folders]
    start = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, VARIABLE: str(path)}, stdout=sys.stderr, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 1) or not path.is_file():  # 1: a gate failed, which does not matter here
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    return {**json.loads(path.read_text("utf-8")), "all": seconds}


def format_table(runs: Mapping[str, Mapping[str, float]]) -> str:
    """Markdown: seconds and shares of each run, the longest stage of the first run first."""
    first = next(iter(runs.values()))
    stages = dict.fromkeys(stage for run in runs.values() for stage in run if stage != "all")
    ordered = sorted(stages, key=lambda stage: -first.get(stage, 0.0))
    lines = [
        "| stage | " + " | ".join(f"{name}, s | share" for name in runs) + " |",
        "|---|" + "---:|---:|" * len(runs),
    ]
    lines += [
        _format_row(stage, [(run.get(stage, 0.0), run["all"]) for run in runs.values()]) for stage in ordered
    ]
    rest = [(run["all"] - _sum_stages(run, stages), run["all"]) for run in runs.values()]
    over = [(run["all"] - _sum_stages(run, NEEDED), run["all"]) for run in runs.values()]
    lines += [_format_row("starting Python and pytest, and the rest", rest)]
    lines += [_format_row("**all**", [(run["all"], run["all"]) for run in runs.values()])]
    lines += [_format_row(f"**overhead** (all but {', '.join(NEEDED)})", over)]
    return "\n".join(lines) + "\n"


def _sum_stages(run: Mapping[str, float], stages: Sequence[str] | Mapping[str, Any]) -> float:
    return sum(run.get(stage, 0.0) for stage in stages)


def _format_row(name: str, cells: Sequence[tuple[float, float]]) -> str:
    return f"| {name} | " + " | ".join(f"{s:.1f} | {100 * s / total:.1f} %" for s, total in cells) + " |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
