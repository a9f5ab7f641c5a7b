"""Passes tests: the answer is Python code, and the tests of the reference pass on it.

    scores = [{ passes_tests = { run_model_code = true } }]

The reference is a program that raises if the answer is wrong. `unittest.main()` and the like end the
process or only print; call the tests, as in `Tests().test_sum()`. `{answer}` in it is replaced by the answer;
without `{answer}`, the answer comes first. If an answer has code between ```, only the first such block
counts. For HumanEval, the reference of a row is prompt + "{answer}\\n" + test + f"\\ncheck({entry_point})".

Each answer runs in a separate process, with limits on time and memory (_system/limited_program.py). That
prevents accidents but is no sandbox: judge models that you do not trust in a container.
"""

from __future__ import annotations

import ast
import re

from pydantic import Field

from slimgate._system.limited_program import run_limited
from slimgate.judge.scores.base import Score
from slimgate.plugins.params import Table

_PLACE = "{answer}"
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
# Calls that test nothing, or whose tests print failures and do not raise.
_NO_TESTS = frozenset(
    ("dict", "list", "set", "tuple", "seed", "filterwarnings", "setrecursionlimit", "main", "run", "testmod")
)


class Params(Table):
    """Options of passes_tests."""

    run_model_code: bool = False
    """true: code that a model writes may run on this machine."""
    cpu_seconds: int = Field(default=5, ge=1)
    """CPU time of one answer with its tests."""
    memory_mb: int = Field(default=1024, ge=64)
    """Memory of one answer with its tests."""


class PassesTests(Score[Params]):
    right_or_wrong = True
    needs_every_reference = True  # every answer passes one that tests nothing

    def check(self, params: Params) -> None:
        """Raises ValueError if run_model_code is not true."""
        if not params.run_model_code:
            raise ValueError(
                "passes_tests runs code that a model writes; write { passes_tests = { run_model_code = "
                "true } } if this machine may run it"
            )

    def check_reference(self, params: Params, reference: str) -> None:
        """Raises ValueError if the reference runs no test, because every answer would pass."""
        if not _has_code_to_run(reference):
            raise ValueError(
                f"{reference[:60]!r} was given, expected a program that raises if the answer is wrong; it "
                'runs no test, so add a call such as "check(name_of_the_function)"'
            )

    def rate(self, params: Params, answer: str, reference: str | None) -> float:
        """1 if the tests pass, else 0."""
        # The first block between ```, which may have no end; else the whole answer.
        match = _FENCE.search(answer)
        code = match.group(1) if match else answer
        tests = reference or ""
        program = tests.replace(_PLACE, code) if _PLACE in tests else f"{code}\n{tests}"
        return float(run_limited(program, cpu_seconds=params.cpu_seconds, memory_mb=params.memory_mb))


score = PassesTests()


def _has_code_to_run(reference: str) -> bool:
    """Whether a program does more than define and prepare; True if its syntax depends on the answer."""
    for body in ("    pass", "pass"):
        try:
            statements = ast.parse(reference.replace(_PLACE, body)).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return not all(map(_is_definition, statements))
    return True


def _is_definition(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
        return all(_is_without_test(node) for node in ast.walk(statement))
    if isinstance(statement, ast.If) and "__main__" in ast.unparse(statement.test):  # it is imported
        return True
    if isinstance(statement, ast.Try) and all(map(_is_definition, statement.body)):
        return True
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass)
    return isinstance(statement, definitions)


def _is_without_test(node: ast.AST) -> bool:
    """Whether a part of a statement is no call, or one of _NO_TESTS."""
    if not isinstance(node, ast.Call):
        return True
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in _NO_TESTS or name.endswith("Runner")
