"""Commands, modules and options that the sentences of README and docs/ name are there."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.doc_blocks import PAGES, ROOT, read_prose
from support.doc_checks import is_cheap, list_pytest_options

from slimgate.cli.main import main
from tools.reference.commands import list_arguments, list_subcommands


def spans(page: Path, program: str) -> list[str]:
    """Commands of a program in the sentences of a page."""
    return re.findall(rf"`({program} [^`]+)`", read_prose(page))


NAMED = [(page, command) for page in PAGES for command in spans(page, "slimgate")]
CHEAP = sorted({command for _, command in NAMED if is_cheap(command)})


@pytest.mark.parametrize(("page", "command"), NAMED, ids=[f"{page.stem}: {name}" for page, name in NAMED])
def test_a_command_in_a_sentence_has_its_options(page: Path, command: str) -> None:  # noqa: ARG001
    _, name, *arguments = shlex.split(command)
    parser, _ = list_subcommands()[name]
    known = {option for action in list_arguments(parser) for option in action.option_strings}
    assert {argument for argument in arguments if argument.startswith("--")} <= known


def test_modules_in_sentences_are_there() -> None:
    modules = {command.split()[2]: page for page in PAGES for command in spans(page, "python -m")}
    assert len(modules) > 10
    for module, page in modules.items():
        assert find_spec(module) is not None, f"{page}: {module}"


def test_options_of_pytest_in_sentences_are_there() -> None:
    option = re.compile(r"`(?:pytest [^`]*)?(--slimgate-[\w-]+)")
    options = {name: page for page in PAGES for name in option.findall(page.read_text("utf-8"))}
    assert len(options) > 10
    for name, page in options.items():
        assert name in list_pytest_options(), f"{page}: {name}"


@pytest.mark.parametrize("command", CHEAP)
def test_a_command_that_needs_no_files_runs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command.partition(" > ")[0])[1:]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 10


def test_bytes_have_one_unit() -> None:
    """MB is 1024² and GB is 1024³ bytes everywhere."""
    patterns = ("reports/**/*.md", "slimgate/**/*.py", "tools/**/*.py")
    files = [*PAGES, *(file for pattern in patterns for file in ROOT.glob(pattern))]
    texts = {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}
    assert {name for name, text in texts.items() if re.search(r"\b[KMGT]iB\b", text)} == set()
    assert {name for name, text in texts.items() if re.search(r"[Bb]ytes\b.*/ 1e[69]\b", text)} == set()


def test_sentences_name_commands_that_run() -> None:
    assert "slimgate schema > bench/suite.schema.json" in CHEAP
    assert len(NAMED) > 15
