"""SIGKILL at any moment loses only the step under way; two runs at once build each artifact once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures import kill_nine
from fixtures.kill_nine import WHOLE

# Everything that is built, and none of what is timed: that is a test of its own below.
BUILDING = ("-k", "not latency and not speedup", "-p", "no:benchmark")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kill_nine.write_repository(tmp_path_factory.mktemp("crashes") / "repository")


@pytest.fixture(scope="module")
def whole_seconds(repository: Path) -> float:
    """How long an undisturbed run takes; its store is the measure of the others."""
    began = time.monotonic()
    assert kill_nine.finish(repository, WHOLE, *BUILDING) == []
    assert len(kill_nine.entries(repository, WHOLE)) == kill_nine.ENTRIES
    return time.monotonic() - began


def test_a_run_that_was_killed_at_any_moment_is_taken_up_where_it_was(
    repository: Path, whole_seconds: float
) -> None:
    draw = random.Random(3)
    for low, high in ((0.3, 0.5), (0.4, 0.7), (0.4, 0.9)):
        kill = kill_nine.kill_after(repository, "killed", draw.uniform(low, high) * whole_seconds, *BUILDING)
        assert kill.wrong == []
    assert kill_nine.finish(repository, "killed", *BUILDING) == []
    assert len(kill_nine.entries(repository, "killed")) == kill_nine.ENTRIES
    assert kill_nine.outcomes(repository, "killed") == kill_nine.outcomes(repository, WHOLE)


@pytest.mark.usefixtures("whole_seconds")
def test_two_runs_at_once_on_one_store_build_each_artifact_once(repository: Path) -> None:
    built = repository / "built.txt"
    built.unlink()
    runs = [kill_nine.start(repository, "shared", *BUILDING) for _ in range(2)]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    assert built.read_text() == "pruned\n"
    assert len(kill_nine.entries(repository, "shared")) == kill_nine.ENTRIES
    assert list((repository / "shared/tmp").iterdir()) == []
    assert kill_nine.outcomes(repository, "shared") == kill_nine.outcomes(repository, WHOLE)


@pytest.fixture
def duelling(repository: Path, whole_seconds: float) -> Iterator[int]:  # noqa: ARG001
    """The process id of a run that has processes of its own: the contenders of a duel."""
    run = kill_nine.start(repository, WHOLE, "-k", "speedup")
    deadline = time.monotonic() + 60
    while len(kill_nine.in_session(run.pid)) < 5 and run.poll() is None:  # server, tracker, contenders
        assert time.monotonic() < deadline, "no duel began"
        time.sleep(0.02)
    yield run.pid
    if run.poll() is None:
        run.kill()
    run.wait()


def test_a_killed_run_leaves_no_process_behind(duelling: int) -> None:
    assert len(kill_nine.in_session(duelling)) >= 5
    os.kill(duelling, signal.SIGKILL)
    os.waitpid(duelling, 0)
    assert kill_nine.ended(duelling) == []
