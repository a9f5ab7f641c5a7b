"""Every command that README.md and docs/ show is one: subcommands, options, modules, files. Cheap ones run.

Those of own_method.md, release.md and tune.md are run as they stand, by the tests of these pages.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from fixtures.reference.commands import arguments_of, subcommands
from slimgate.cli.main import command_parser, main

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "bench/README.md", *sorted((ROOT / "docs").rglob("*.md"))]
HARMLESS = ("head", "cat", "cd", "git", "ls")
NEEDS_NO_FILES = ("methods", "schema", "--version")


def console(page: Path) -> Iterator[str]:
    """The commands of its console blocks, one by one."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
            yield from (part.strip() for part in re.sub(r"\s+# .*$", "", line).split(" && "))


def spans(page: Path, program: str) -> list[str]:
    """Commands of a program that stand in a sentence."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    return re.findall(rf"`({program} [^`]+)`", text)


SHOWN = [(page, command) for page in PAGES for command in console(page)]
IN_SENTENCES = [(page, command) for page in PAGES for command in spans(page, "slimgate")]


def ids(shown: list[tuple[Path, str]]) -> list[str]:
    return [f"{page.stem}: {command}" for page, command in shown]


@cache
def pytest_options() -> frozenset[str]:
    """What pytest takes here, with its plug-ins, as it tells itself."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout)
    return frozenset({*found, "--junitxml"})  # an older way to write --junit-xml


def check_slimgate(arguments: list[str], page: str) -> None:  # noqa: ARG001
    command_parser().parse_args(arguments)


def check_pytest(arguments: list[str], page: str) -> None:
    """Options are known, and paths are here or told about elsewhere on the page."""
    expected = False
    for argument in arguments:
        if argument.startswith("-"):
            assert argument.partition("=")[0] in pytest_options(), argument
        elif not expected:
            path = argument.partition("::")[0]
            tuned = f"slimgate tune {path.replace('_tuned.toml', '.toml')}"  # which writes that file
            told = page.count(Path(path).name) > 1 or tuned in page
            assert (ROOT / path).exists() or told, f"{path} is nowhere"
        expected = argument in ("-k", "-n", "-W", "--dist", "--junitxml", "--slimgate-baseline")


def check_python(arguments: list[str], page: str) -> None:
    assert arguments[0] == "-m"
    assert find_spec(arguments[1]) is not None, arguments[1]
    if arguments[1] == "pytest":
        check_pytest(arguments[2:], page)


def check_pip(arguments: list[str], page: str) -> None:  # noqa: ARG001
    """Extras are declared, and files are here."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name in re.findall(r"\[(\w+)\]", " ".join(arguments)):
        assert name in extras
    if "-c" in arguments:
        assert (ROOT / arguments[arguments.index("-c") + 1]).is_file()


CHECKS = {
    "slimgate": check_slimgate,
    "pytest": check_pytest,
    "python": check_python,
    "python3": check_python,
    "pip": check_pip,
}


@pytest.mark.parametrize(("page", "command"), SHOWN, ids=ids(SHOWN))
def test_a_command_that_a_page_shows_is_one(page: Path, command: str) -> None:
    program, *arguments = shlex.split(command)
    name = Path(program).name
    assert name in (*CHECKS, *HARMLESS), f"{name}: neither checked nor known to be harmless"
    if name in CHECKS:
        CHECKS[name](arguments, page.read_text("utf-8"))


@pytest.mark.parametrize(("page", "command"), IN_SENTENCES, ids=ids(IN_SENTENCES))
def test_a_command_in_a_sentence_has_its_options(page: Path, command: str) -> None:  # noqa: ARG001
    _, name, *arguments = shlex.split(command)
    parser, _ = subcommands()[name]
    known = {option for action in arguments_of(parser) for option in action.option_strings}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_modules_and_options_in_sentences_are_there(page: Path) -> None:
    for command in spans(page, "python -m"):
        assert find_spec(command.split()[2]) is not None, command
    text = page.read_text("utf-8")
    for option in re.findall(r"`(?:pytest [^`]*)?(--slimgate-[\w-]+)", text):
        assert option in pytest_options()


CHEAP = sorted(
    {
        command
        for _, command in (*SHOWN, *IN_SENTENCES)
        if shlex.split(command)[0] == "slimgate" and shlex.split(command)[1] in NEEDS_NO_FILES
        # own_method.md's own step is of the repository that its test makes; NAME stands for any
        if "mytools" not in command and "NAME" not in command
    }
)


@pytest.mark.parametrize("command", CHEAP)
def test_what_needs_no_files_runs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command.partition(" > ")[0])[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 10


def test_these_tests_see_what_is_wrong() -> None:
    with pytest.raises(SystemExit):
        check_slimgate(["compare", "--no-such-option", "a", "b"], "")
    with pytest.raises(AssertionError, match="--slimgate-no"):
        check_pytest(["bench", "--slimgate-no"], "")
    with pytest.raises(AssertionError, match="nowhere"):
        check_pytest(["bench/nowhere.toml"], "$ pytest bench/nowhere.toml")
    assert len(SHOWN) > 20
    assert "slimgate schema > bench/suite.schema.json" in CHEAP
