"""Runs `python -m MODULE` in a separate process, without the seconds that importing torch and others takes.

    done = run_module("pytest", ["-q"], folder, environment)

A server imports those libraries once and forks a process for each run. That process has its own arguments,
folder, environment, streams, exit code and death. The server has computed nothing, so that its children may
start threads. It has imported pytest and its plugins as pytest does, with their asserts rewritten. What
slimgate forks in a run to time models comes from a second server, which all runs share. The workers of a run
with `-n` are forked too.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.forkserver import ForkServer
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO

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
# The modules that a session of pytest imports. `.*` stands for all modules of a package.
IMPORTS_OF_SESSIONS = (
    *IMPORTS,
    "slimgate.budgets.*",
    "slimgate.judge.*",
    "slimgate.plugin.gates.*",
    "slimgate.plugin.plan_text",
    "slimgate.plugin.session_start",
    "slimgate.plugin.suite_session",
    "slimgate.plugin.terminal_watch",
    "slimgate.record.*",
    "slimgate.report.*",
    "slimgate.run.*",
    "slimgate.runtimes.*",
    "slimgate.store.*",
    "slimgate.suite.*",
    "matplotlib.backends.backend_svg",
    "matplotlib.backends.backend_agg",
    "markdown_it",
)
# Variables that libraries read while they are imported: another value needs another server.
READ_BY_IMPORTS = ("HF_", "OMP_", "PYTHON", "TOKENIZERS_", "TORCH", "TRANSFORMERS_")
# Libraries set these in the process that runs the tests, and read them when they are used.
READ_WHEN_USED = frozenset({"TOKENIZERS_PARALLELISM", "TORCHINDUCTOR_CACHE_DIR"})
# Servers that are kept: that of most tests, and the last other one. Each takes some 300 MB.
MOST_SERVERS = 2


@dataclass(frozen=True)
class Request:
    """A process to start. streams: the paths of its input, output and errors, such as a terminal's."""

    module: str
    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    streams: tuple[str, str, str]
    new_session: bool = False


class Server:
    """A server process, and the pipes to it."""

    def __init__(
        self, environment: Mapping[str, str], imports: Sequence[str] = IMPORTS, *, apart: bool = False
    ) -> None:
        """apart: in a separate session, so that a worker that kills its session kills only the server."""
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
        self._codes: dict[int, int] = {}

    def start(self, request: Request) -> int:
        """Starts a process, and returns its id."""
        self._questions.write(json.dumps(asdict(request)).encode() + b"\n")
        while (pid := self._read_answer()) is None:
            continue
        return pid

    def wait(self, pid: int, timeout: float) -> int | None:
        """The exit code of a process, minus the number of a signal that killed it; None while it runs."""
        deadline = time.monotonic() + timeout
        while pid not in self._codes:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                return None
            self._read_answer()
        return self._codes[pid]

    def _read_answer(self) -> int | None:
        """The id of the process that was started; None after the line of a process that ended."""
        if not (line := self._answers.readline()):
            raise RuntimeError(f"the server of warm_python.py ended with code {self._process.wait()}")
        pid, *code = map(int, line.split())
        if not code:
            return pid
        [self._codes[pid]] = code
        return None

    def close(self) -> None:
        """Ends the server and the one that it started."""
        self._questions.close()
        self._process.wait()
        self._answers.close()


# By the variables that its imports read, the one that was used last at the end.
_servers: dict[str, Server] = {}


class Process:
    """A started process, with methods like those of subprocess.Popen."""

    def __init__(self, server: Server, request: Request) -> None:
        self._server = server
        self.args = [request.module, *request.arguments]
        self.returncode: int | None = None
        self.pid = server.start(request)

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.wait(self.pid, 0)
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        """Its exit code. Raises TimeoutExpired if it still runs then."""
        if self.returncode is None:
            self.returncode = self._server.wait(self.pid, timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def kill(self) -> None:
        """Kills it, if it runs, and waits for its end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.returncode = self._server.wait(self.pid, 60)


def start_module(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    streams: tuple[str, str, str],
    *,
    new_session: bool = False,
) -> Process:
    """Starts `python -m module arguments` in a folder.

    new_session: start it in a separate session, together with its fork server.
    """
    read = {
        name: value
        for name, value in environment.items()
        if name.startswith(READ_BY_IMPORTS) and name not in READ_WHEN_USED
    }
    request = Request(module, list(arguments), str(folder), dict(environment), streams, new_session)
    return Process(_choose_server(read), request)


def run_module(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Runs `python -m module arguments` in a folder. Raises TimeoutExpired after killing it."""
    with tempfile.TemporaryDirectory(prefix="run-module-") as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        process = start_module(module, arguments, folder, environment, (os.devnull, str(out), str(err)))
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, code, out.read_text("utf-8"), err.read_text("utf-8"))


def _choose_server(read: dict[str, str]) -> Server:
    key = json.dumps(sorted(read.items()))
    server = _servers.pop(key, None)
    if server is None:
        while len(_servers) >= MOST_SERVERS:
            _servers.pop(next(iter(_servers))).close()
        server = Server({**os.environ, **read})
    _servers[key] = server
    return server


@atexit.register
def close_servers() -> None:
    """Ends the servers of this process."""
    while _servers:
        _servers.popitem()[1].close()


def _serve_requests() -> Request:
    """Answers requests until the pipe is closed; returns only in the process of a request."""
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    _start_forkserver()
    _parse_sources()
    _forget_plugins_of_pytest()
    _import_as_pytest_does()
    gc.freeze()
    running: dict[int, int] = {}  # file descriptor that is ready when the process has ended -> its id
    while True:
        ready = select.select([questions, *running], [], [])[0]
        for ended in running.keys() & set(ready):
            pid = running.pop(ended)
            os.close(ended)
            print(pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)
        if questions not in ready:
            continue
        if not (line := questions.readline()):
            os._exit(0)
        request = Request(**json.loads(line))
        if not (pid := _fork_for(request, (questions, answers), running)):
            return request
        running[os.pidfd_open(pid)] = pid
        print(pid, file=answers, flush=True)


def _fork_for(request: Request, pipes: Iterable[TextIO], running: Iterable[int]) -> int:
    """The id of a new process, which has set its streams; 0 in this process.

    pipes: to the tests. running: file descriptors of other processes.
    """
    ready_read, ready_write = os.pipe()
    if pid := os.fork():
        os.close(ready_write)
        os.read(ready_read, 1)  # returns when the process closes its end
        os.close(ready_read)
        return pid
    for pipe in pipes:
        pipe.close()
    for number in (*running, ready_read):
        os.close(number)
    _set_up_process(request)
    os.close(ready_write)
    return 0


def _forget_plugins_of_pytest() -> None:
    """Runs import slimgate and other plugins again: pytest rewrites their asserts while they are imported.

    The module that parses slimgate's sources for keys stays, with what it parsed: it has no assert.
    """
    packages = {entry.module.partition(".")[0] for entry in metadata.entry_points(group="pytest11")}
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        if name != source_code.__name__:
            del sys.modules[name]


class _Imports:
    """A plugin that imports what most sessions import, and writes a report.

    The first report of a process takes half a second more than the next: it compiles templates, and reads
    fonts and styles. The plugin computes no network and starts no thread.
    """

    def pytest_configure(self) -> None:
        for pattern in IMPORTS_OF_SESSIONS:
            module = importlib.import_module(pattern.removesuffix(".*"))
            if pattern.endswith(".*"):
                for inner in pkgutil.walk_packages(module.__path__, f"{module.__name__}."):
                    importlib.import_module(inner.name)
        write_reports = importlib.import_module("slimgate.report.files").write_reports
        write_reports(importlib.import_module("sample_record").make_sample_record(), Path("report"), None)
        del sys.modules["sample_record"]


def _import_as_pytest_does() -> None:
    """Imports pytest, and its plugins with their asserts rewritten, as a session in an empty folder does."""
    import pytest

    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        pytest.main(["--markers", "--rootdir", empty, "-p", "no:hypothesispytest"], plugins=[_Imports()])
        os.chdir("/")


def _parse_sources() -> None:
    for file in Path(slimgate.__file__).parent.rglob("*.py"):
        source_code.parse_source(file.read_bytes())


def _set_up_process(request: Request) -> None:
    """Gives this process the folder, environment and streams of a request, as a shell would."""
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    if request.new_session:
        os.setsid()
    for number, path in enumerate(request.streams):
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY
        opened = os.open(path, mode | os.O_NOCTTY)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin, sys.stdout, sys.stderr = _open_streams()
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[0] = request.folder
    if request.new_session:
        _start_forkserver()


class _Worker:
    """A process like that of `python -c LINE`, which execnet starts. It waits for its first line.

    Its methods are those of subprocess.Popen that execnet calls.
    """

    def __init__(self, closed: Sequence[int]) -> None:
        """closed: files that the process must not have."""
        read, stdin = os.pipe()
        stdout, write = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.dup2(read, 0)
            os.dup2(write, 1)
            for number in (*closed, read, write, stdin, stdout):
                os.close(number)
            _run_first_line()
        os.close(read)
        os.close(write)
        self.stdin, self.stdout = open(stdin, "wb"), open(stdout, "rb")  # noqa: SIM115

    def wait(self) -> int:
        """Its exit code. Raises OSError if it was returned before."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def _fork_workers(count: int) -> None:
    """Forks processes for the workers of pytest-xdist, one of them for a worker that replaces another."""
    from execnet import gateway_io

    waiting: list[_Worker] = []
    for _ in range(count):
        files = [stream.fileno() for worker in waiting for stream in (worker.stdin, worker.stdout)]
        waiting.append(_Worker(files))

    class ForkedIO(gateway_io.Popen2IOMaster):
        """Takes a process that waits, and starts Python if there is none left."""

        def __init__(self, args: Any, execmodel: Any) -> None:
            if not waiting:
                super().__init__(args, execmodel)
                return
            self.popen = waiting.pop(0)
            gateway_io.Popen2IO.__init__(self, self.popen.stdin, self.popen.stdout, execmodel=execmodel)

    gateway_io.Popen2IOMaster = ForkedIO


def _run_first_line() -> NoReturn:
    """Does what Python does with `-c` and execnet's line, unless the input ends before it."""
    sys.argv[:], sys.path[0] = ["-c"], ""
    sys.stdin, sys.stdout, sys.stderr = _open_streams()
    main = sys.modules["__main__"] = ModuleType("__main__")
    _end_process(lambda: exec(eval(sys.stdin.readline() or "''"), vars(main)))


def _open_streams() -> tuple[TextIO, TextIO, TextIO]:
    """sys.stdin, sys.stdout and sys.stderr, as Python makes them when it starts."""
    out = open(1, "w", buffering=1 if os.isatty(1) else -1, encoding="utf-8", closefd=False)  # noqa: SIM115
    err = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    return open(0, encoding="utf-8", closefd=False), out, err


def _start_forkserver() -> None:
    """Starts a fork server of multiprocessing by a fork of this process, instead of a new Python."""

    def fork(_: Any, command: list[str], keep: list[int]) -> int:
        pid = os.fork()
        if not pid:
            for number in set(map(int, os.listdir("/proc/self/fd"))) - {0, 1, 2, *keep}:
                try:
                    os.close(number)
                except OSError:  # of the listing itself
                    continue
            try:
                exec(command[-1])
            finally:  # also after an exception, which must not reach the code that called this
                os._exit(0)
        return pid

    server = forkserver._forkserver
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    server.set_forkserver_preload([])
    spawn, util.spawnv_passfds = util.spawnv_passfds, fork
    ForkServer.ensure_running(server)
    util.spawnv_passfds = spawn
    # children of this process must not wait for the fork server, which is not their child
    forkserver.ensure_running = server.ensure_running = resource_tracker.ensure_running


def _run_module(request: Request) -> NoReturn:
    """Runs the module of a request, and ends the process."""
    sys.argv[1:] = arguments = list(request.arguments)
    if request.module == "pytest" and "-n" in arguments:
        _fork_workers(int(arguments[arguments.index("-n") + 1]) + 1)
    _end_process(lambda: runpy.run_module(request.module, run_name="__main__", alter_sys=True))


def _end_process(run: Callable[[], object]) -> NoReturn:
    """Runs a program, and ends as Python does, but without freeing all modules, which takes a second."""
    code = 0
    try:
        run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _run_module(_serve_requests())
