"""Writes hostile inputs, runs slimgate on each, and prints what it answered as a markdown table.

    python -m tools.trust.hostile_inputs OUT [--small] [--only WORD] > docs/hostile_inputs.md

Each answer is an exit code and one line. The table marks a traceback, a signal, and a file that a pickle has
written; then the exit code is 1. --small leaves out inputs that are large or build a model.
"""

from __future__ import annotations

import argparse
import os
import resource
import runpy
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest  # noqa: F401  every run needs it, and this process imports it only once

from slimgate._system.escape import escape_invisible
from tools.trust.hostile.cases import Case, list_cases

MINUTES = 10
MEMORY = 12 * 1024**3  # the most that a case may map, so that it does not stop the machine
LEAD = """\
# Hostile inputs and what slimgate answers

`python -m tools.trust.hostile_inputs OUT` wrote each input and ran the command on it. Exit code 4 means
that slimgate refused the input, and the last column shows the error. Exit code 0 means that slimgate read the
input as normal data. Exit code 1 means that slimgate could not build a model, or that a budget did not pass.
*MB* is the peak memory of the process. Python with Arrow takes about 130 MB of it, and PyTorch about 400 MB.

| input | command | exit | MB | answer |
|:--|:--|--:|--:|:--|
"""


@dataclass(frozen=True)
class Answer:
    """The answer of a run of slimgate. wrong: what is wrong with it; None if nothing is."""

    code: int
    line: str
    megabytes: int
    wrong: str | None


def main(arguments: list[str] | None = None) -> int:
    """Writes each input, runs slimgate on it, and prints the table. Returns 1 if an answer is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.trust.hostile_inputs")
    parser.add_argument("out", type=Path)
    parser.add_argument("--small", action="store_true", help="without inputs that are large or build a model")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    options = parser.parse_args(arguments)
    sys.stdout.write(LEAD)
    wrong = 0
    for case in list_cases(options.out.resolve()):
        if options.only in case.input.name and not (options.small and case.input.slow):
            answer = run_case(case)
            wrong += answer.wrong is not None
            sys.stdout.write(format_row(case, answer) + "\n")
            sys.stdout.flush()
    return int(wrong > 0)


def format_row(case: Case, answer: Answer) -> str:
    """The table's line of a case."""
    outcome = f"**{answer.wrong}** " if answer.wrong else ""
    cell = escape_invisible(answer.line).replace("|", "\\|").replace("`", "'")
    cells = (case.input.name, case.input.command, answer.code, answer.megabytes, f"{outcome}`{cell}`")
    return f"| {' | '.join(map(str, cells))} |"


def run_case(case: Case) -> Answer:
    """Writes the input and runs slimgate on it, in a separate process."""
    module, *arguments = case.write_command()
    output = case.folder / "said.txt"
    child = os.fork()  # not a new Python, because this process has imported what every run needs
    if not child:
        _run(module, arguments, case.folder, output)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    text = output.read_text("utf-8", "replace")
    return Answer(code, _find_line(text, case.folder), used.ru_maxrss // 1024, _find_fault(case, code, text))


def _run(module: str, arguments: list[str], folder: Path, output: Path) -> NoReturn:
    """In the child: `python -m module arguments` in the folder, its output in a file; ends the process."""
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv, code = [module, *arguments], 0
    signal.alarm(60 * MINUTES)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _find_line(text: str, folder: Path) -> str:
    """The line with the answer: an error, else the verdict, else the last line."""
    lines = [line for line in text.splitlines() if line.strip()]
    for start in ("ERROR: ", "slimgate judge: ", "slimgate lines: ", "slimgate accept: ", "E   "):
        answer_line = next((line.removeprefix(start) for line in lines if line.startswith(start)), None)
        if answer_line is not None:
            return answer_line.strip().replace(f"{folder}/", "")[:300]
    failed = [line.partition(" - ")[2] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return (failed or lines or [""])[-1].strip("= ").replace(f"{folder}/", "")[:300]


def _find_fault(case: Case, code: int, text: str) -> str | None:
    if "Traceback (most recent call last)" in text or "INTERNALERROR" in text:
        return "TRACEBACK"
    if case.canary.exists():
        return "CODE RAN"
    if code not in case.input.codes:
        return f"expected exit {' or '.join(map(str, case.input.codes))}"
    return None if "\x1b]" not in text else "ESCAPES"


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
