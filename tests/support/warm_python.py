"""`python -m MODULE` in a process of its own, without the seconds that imports of torch and others take.

    done = run_module("pytest", ["-q"], folder, environment)

A server imports those libraries once and forks a process for each run. That process has its own arguments,
folder, environment, streams, exit code and death. The server has computed nothing, so that its children may
start threads, and holds neither pytest nor a plugin of it. What slimgate forks in a run to time models
comes from a second server, which all runs share.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from typing import Any

import slimgate
from slimgate._system import source_code

IMPORTS = (
    "torch",
    "slimgate.models.torch_model",  # before transformers, whose import of torchao it makes silent
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
    "transformers.generation.utils",
    "slimgate.steps.training.trainer",
    "slimgate.report.markdown",
    "slimgate.run.measure.duel_worker",
    "slimgate.run.build",
    "slimgate.suite.suite",
    "datasets",
    "matplotlib.pyplot",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.metrics",
)
# Variables that libraries read while they are imported: another value needs another server.
READ_BY_IMPORTS = ("HF_", "OMP_", "PYTHON", "TOKENIZERS_", "TORCH", "TRANSFORMERS_")


class Server:
    """The server as the process that asks it sees it."""

    def __init__(
        self, environment: Mapping[str, str], imports: Sequence[str] = IMPORTS, *, apart: bool = False
    ) -> None:
        """apart: in a session of its own, so that what a worker ends with its parent is no more than that."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, *imports],
            env=dict(environment),
            start_new_session=apart,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # or select would not see an answer that is in the buffer
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout

    def run(self, *request: Any, timeout: float) -> int:
        """The exit code of a request's process; of one that a signal killed, minus its number."""
        self._questions.write(json.dumps(request).encode() + b"\n")
        pid = self._answer()
        if select.select([self._answers], [], [], timeout)[0]:
            return self._answer()
        os.kill(pid, signal.SIGKILL)
        self._answer()
        raise subprocess.TimeoutExpired(request[0], timeout)

    def _answer(self) -> int:
        if not (line := self._answers.readline()):
            raise RuntimeError(f"the server of warm_python.py ended with code {self._process.wait()}")
        return int(line)

    def close(self) -> None:
        """Ends the server and the one that it started."""
        self._questions.close()
        self._process.wait()
        self._answers.close()


_servers: dict[str, Server] = {}  # at most one, by the variables that its imports read


def run_module(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module arguments` in a folder. Raises TimeoutExpired after killing it."""
    server = _server({name: value for name, value in environment.items() if name.startswith(READ_BY_IMPORTS)})
    with tempfile.TemporaryDirectory(prefix="run-module-") as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        request = [module, list(arguments), str(folder), dict(environment), str(out), str(err)]
        code = server.run(*request, timeout=timeout)
        return subprocess.CompletedProcess(request[:2], code, out.read_text("utf-8"), err.read_text("utf-8"))


def _server(read: dict[str, str]) -> Server:
    key = json.dumps(sorted(read.items()))
    if key not in _servers:
        close_servers()
        _servers[key] = Server({**os.environ, **read})
    return _servers[key]


@atexit.register
def close_servers() -> None:
    """Ends the server of this process, if it has one."""
    while _servers:
        _servers.popitem()[1].close()


def _serve() -> tuple[str, list[str]]:
    """Answers requests for ever; returns only in the process of a request: the module and its arguments."""
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    _start_forkserver()
    _parse_sources()
    _forget_plugins_of_pytest()
    gc.freeze()
    while line := questions.readline():
        module, arguments, folder, environment, out, err = json.loads(line)
        pid = os.fork()
        if not pid:
            questions.close()
            answers.close()
            _take_on(folder, environment, out, err)
            return module, arguments
        for answer in (pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])):
            print(answer, file=answers, flush=True)
    os._exit(0)


def _forget_plugins_of_pytest() -> None:
    """Runs import slimgate and other plugins again: pytest rewrites their asserts while they are imported.

    The module that parses slimgate's sources for keys stays, with what it parsed: it has no assert.
    """
    packages = {entry.module.partition(".")[0] for entry in metadata.entry_points(group="pytest11")}
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        if name != source_code.__name__:
            del sys.modules[name]


def _parse_sources() -> None:
    for file in Path(slimgate.__file__).parent.rglob("*.py"):
        source_code.parse_source(file.read_bytes())


def _take_on(folder: str, environment: dict[str, str], out: str, err: str) -> None:
    """Makes this process what a shell would have started."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.path[0] = folder
    # the server is no child of this process, which must not wait for it
    forkserver.ensure_running = forkserver._forkserver.ensure_running = resource_tracker.ensure_running


def _start_forkserver() -> None:
    """multiprocessing's fork server, forked from this process instead of started by it."""

    def fork(_: Any, command: list[str], keep: list[int]) -> int:
        pid = os.fork()
        if not pid:
            for number in set(map(int, os.listdir("/proc/self/fd"))) - {0, 1, 2, *keep}:
                try:
                    os.close(number)
                except OSError:  # of the listing itself
                    continue
            exec(command[-1])
            os._exit(0)
        return pid

    spawn, util.spawnv_passfds = util.spawnv_passfds, fork
    forkserver.set_forkserver_preload([])
    forkserver.ensure_running()
    util.spawnv_passfds = spawn


if __name__ == "__main__":
    module, sys.argv[1:] = _serve()
    runpy.run_module(module, run_name="__main__", alter_sys=True)
