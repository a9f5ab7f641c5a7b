"""Runs each command in a separate process, without the seconds that imports take.

    with Processes() as processes:
        done = processes.run("pytest", ["bench", "-q"], folder, {"OMP_NUM_THREADS": "1"})

A server process imports libraries and forks a child for each command. The child has its own arguments,
folder, environment, streams and exit code, and runs the real program. The first command of a kind is slow: it
lists the modules that it imported, and the server imports them too. The server computes only digests of
slimgate's own code, so its children have empty caches and may start threads.
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
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

ROOT = Path(__file__).parents[2]
SECONDS = 120.0
# Variables that libraries read while they are imported, so they are the same for every command. Without
# bytecode files, Python also reads a module again that was edited twice in one second.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
    "COLUMNS": "200",
}
# Modules of the server itself. Children import them again.
_NOT_SHARED = ("__main__", "__mp_main__", "tools")
_DIGESTED: set[str] = set()


@dataclass(frozen=True)
class Done:
    """A command that has ended. code: its exit code, or minus the number of the signal that killed it."""

    command: tuple[str, ...]
    code: int
    text: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"$ {' '.join(self.command)}\n{self.text.rstrip()}\nexit code {self.code}, {self.seconds:.1f} s"
        )


class Processes:
    """The server process, and the pipes to it."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} | ENVIRONMENT
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self.commands = 0

    def run(self, module: str, arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Done:
        """Runs `python -m module arguments` in a folder. variables: added to the environment.

        A command that takes longer than SECONDS is killed; its code is then -9.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.commands += 1
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="attack-") as scratch:
            out, modules = Path(scratch, "out"), Path(scratch, "modules")
            request = [module, list(arguments), str(folder), dict(variables), str(out), str(modules)]
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            pid = self._read_number()
            if not select.select([self._process.stdout], [], [], SECONDS)[0]:
                with suppress(ProcessLookupError):  # it has ended, and the server still imports modules
                    os.killpg(pid, signal.SIGKILL)  # with its workers
            code = self._read_number()
            text = out.read_text("utf-8", errors="replace") if out.exists() else ""
        return Done((module.removesuffix(".cli.main"), *arguments), code, text, time.monotonic() - began)

    def _read_number(self) -> int:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the server of the attack ended with code {self._process.wait()}")
        return int(line)

    def close(self) -> None:
        """Ends the server."""
        self._process.communicate()  # closes its input, which ends it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _serve() -> tuple[str, Path]:
    """Answers requests until the pipe is closed. Returns only in the process of a command.

    Returns:
        The module to run, and the file for the list of the modules that it imports.
    """
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    while line := requests.readline():
        module, arguments, folder, variables, out, modules = json.loads(line)
        gc.freeze()
        pid = os.fork()
        if not pid:
            requests.close()
            answers.close()
            _set_up_process(folder, variables, out)
            sys.argv[1:] = arguments
            return module, Path(modules)
        print(pid, file=answers, flush=True)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(OSError):
            _import(Path(modules).read_text("utf-8").split())
            _compute_digests()
        print(code, file=answers, flush=True)
    os._exit(0)


def _import(names: Sequence[str]) -> None:
    for name in names:
        if name not in sys.modules and name.partition(".")[0] not in _NOT_SHARED:
            with suppress(BaseException):
                importlib.import_module(name)


def _compute_digests() -> None:
    """Computes the digests of slimgate's own code once for all commands, because it does not change."""
    from slimgate._system.digests import digest_code, digest_own_code

    digest_own_code()
    for name in [name for name in sys.modules if name.startswith("slimgate.")]:
        if name not in _DIGESTED:
            _DIGESTED.add(name)
            digest_code(name)


def _set_up_process(folder: str, variables: Mapping[str, str], out: str) -> None:
    """Gives this process the folder, environment and streams of a command, as a shell would."""
    os.setsid()  # so that it can be killed with its workers
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith(("PYTEST_", "SLIMGATE_"))]:
        del os.environ[name]
    os.environ.update(variables)
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(1, 2)
    added = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [folder, *(str(Path(folder, path)) for path in added)]
    importlib.invalidate_caches()


def _run(module: str, modules: Path) -> NoReturn:
    """Runs the module, writes the list of the modules that it imported, and ends the process.

    It does not free the modules as Python does at its end, which takes longer than a command of slimgate.
    """
    before, code = set(sys.modules), 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
        code = 1
    modules.write_text("\n".join(_list_installed_modules(before)), "utf-8")
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _list_installed_modules(before: set[str]) -> list[str]:
    """The newly imported modules of installed packages and of slimgate, which any command may use."""
    places = (sys.prefix, sys.base_prefix, str(ROOT / "slimgate"))
    new = ((name, getattr(module, "__file__", None)) for name, module in list(sys.modules.items()))
    return [name for name, file in new if name not in before and str(file or sys.prefix).startswith(places)]


if __name__ == "__main__":
    _run(*_serve())
