"""slimgate._system.worker: modules written here, which end, die or hang in a process of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from slimgate._system.worker import Ended, ask_worker, run_worker
from slimgate.errors import BuildError

FOREVER = 600.0


def run(root: Path, monkeypatch: pytest.MonkeyPatch, body: str, *, limit: float = FOREVER) -> Ended:
    """The end of a worker with that body. Its folder is `folder`."""
    (root / "own_worker.py").write_text(
        f"import os, signal, subprocess, sys, time\nfolder = sys.argv[1]\n{body}\n", "utf-8"
    )
    monkeypatch.syspath_prepend(root)
    return run_worker("own_worker", root, limit=limit)


def test_a_worker_of_ones_own_path_answers_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run(tmp_path, monkeypatch, "open(folder + '/answer', 'w').write('4')")
    assert ended == Ended(0, "")
    assert (tmp_path / "answer").read_text("utf-8") == "4"


def test_the_last_line_of_its_output_is_the_reason_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run(tmp_path, monkeypatch, "print('at first', file=sys.stderr)\nraise ValueError('no weights')")
    assert (ended.code, ended.signal, ended.message) == (1, None, "ValueError: no weights")


def test_one_that_says_nothing_is_reported_by_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(tmp_path, monkeypatch, "sys.exit(3)").message == "it ended with code 3"


def test_one_that_dies_is_reported_by_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run(tmp_path, monkeypatch, "os.kill(os.getpid(), signal.SIGKILL)")
    assert (ended.code, ended.signal, ended.message) == (-9, "SIGKILL", "it was killed by SIGKILL")


ANSWERS = """
from slimgate._system.worker import answer_request
from slimgate.errors import BuildError

def compute(folder, request):
    if request["number"] < 0:
        raise BuildError("the number is below 0")
    if request["number"] == 0:
        raise ZeroDivisionError("of 0")
    return {"half": request["number"] / 2} if request["number"] > 1 else None

if __name__ == "__main__":
    answer_request(compute)
"""


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (4, {"half": 2.0}),
        (1, {}),
        (-1, "^the number is below 0$"),
        (0, "^halving failed: ZeroDivisionError: of 0$"),
    ],
    ids=["an answer", "nothing to answer", "an error of slimgate", "another error"],
)
def test_a_request_gets_an_answer_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: dict[str, float] | str
) -> None:
    (tmp_path / "own_worker.py").write_text(ANSWERS, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def ask() -> dict[str, float]:
        request = {"number": number}
        return ask_worker("own_worker", tmp_path, request, limit=FOREVER, failure="halving failed")

    if isinstance(expected, dict):
        assert ask() == expected
    else:
        with pytest.raises(BuildError, match=expected):
            ask()


# starts a process that would outlive it, and says which one only when it runs
STARTS = """
child = subprocess.Popen(["sleep", "600"])
open(folder + "/writing", "w").write(str(child.pid))
os.rename(folder + "/writing", folder + "/started")
"""


def test_what_it_started_ends_where_it_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run(tmp_path, monkeypatch, STARTS + "os.kill(os.getpid(), signal.SIGILL)")
    assert ended.signal == "SIGILL"
    assert_ends(int((tmp_path / "started").read_text("utf-8")))


def test_at_the_limit_it_ends_and_what_it_started_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in (1, 10, 100):  # a busy machine takes long to start it
        ended = run(tmp_path, monkeypatch, STARTS + "time.sleep(600)", limit=limit)
        assert ended.code is None
        assert ended.message == "it did not end within its time limit, so it was stopped"
        if (tmp_path / "started").exists():
            break
    assert_ends(int((tmp_path / "started").read_text("utf-8")))


def test_it_ends_with_whoever_asked_even_where_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "own_worker.py").write_text(
        "import os, subprocess, sys, time\nfrom slimgate._system.worker import end_with_parent\n"
        "end_with_parent()\nfolder = sys.argv[1]\n" + STARTS + "time.sleep(600)\n",
        "utf-8",
    )
    asks = f"import sys\nfrom pathlib import Path\nsys.path.insert(0, {str(tmp_path)!r})\n"
    asks += "from slimgate._system.worker import run_worker\n"
    asks += f"run_worker('own_worker', Path({str(tmp_path)!r}), limit=600)\n"
    asking = subprocess.Popen([sys.executable, "-c", asks])
    until = time.monotonic() + 120
    while not (tmp_path / "started").exists() and time.monotonic() < until:
        time.sleep(0.05)
    asking.kill()
    asking.wait()
    assert_ends(int((tmp_path / "started").read_text("utf-8")))


def assert_ends(process: int) -> None:
    """Fails where the process lives on; SIGKILL takes a moment, and nobody may have asked for its end yet."""
    status = Path("/proc", str(process), "status")
    for _ in range(600):
        try:
            if "State:\tZ" in status.read_text("utf-8"):
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {process} lives on")


def test_an_error_of_several_lines_is_reported_whole_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "raise ValueError('1 error for Params\\n  sizes: not a tuple\\n    For more see a page')"
    ended = run(tmp_path, monkeypatch, body)
    assert ended.message == "ValueError: 1 error for Params sizes: not a tuple For more see a page"
