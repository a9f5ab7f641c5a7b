"""Mistakes at the command line, and the help texts of every command."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from slimgate import __version__
from slimgate.cli.judge.command import EXAMPLES
from slimgate.cli.main import main
from tools.reference.commands import list_arguments, list_pytest_options, list_subcommands

HELPS = {
    **{name: about for name, (_, about) in list_subcommands().items()},
    **{
        f"{name} {action.dest}": str(action.help)
        for name, (parser, _) in list_subcommands().items()
        for action in list_arguments(parser)
    },
    **{name: option["help"] for name, option in list_pytest_options().options.items()},
    **{name: value["help"] for name, value in list_pytest_options().ini.items()},
}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["jugde", "a.csv", "b.csv"], "Did you mean judge?"),
        (["judge", "a.csv", "b.csv", "--dorp-points", "2"], "--dorp-points 2. Did you mean --drop-points?"),
        (["judge", "a.csv", "b.csv", "--dorp-points=2"], "Did you mean --drop-points?"),
        (["judge", "a.csv", "b.csv", "--on-inconclusive", "wran"], "Did you mean warn?"),
        (
            ["accept", "run.json", "v1", "--name", "v1"],
            "slimgate accept: unrecognized arguments: v1. See slimgate accept --help.\n",
        ),
        (
            ["judge", "a.csv", "b.csv", "--slice-points", "1", "--slice-points", "50"],
            "slimgate judge: argument --slice-points: it was given twice, expected it once. See",
        ),
    ],
    ids=["command", "option", "option with a value", "choice", "argument", "twice"],
)
def test_a_mistake_is_one_line_with_what_was_meant(
    capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert main(arguments) == 4
    assert line in capsys.readouterr().err


def test_judge_without_arguments_shows_its_two_commonest_uses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge"]) == 4
    assert capsys.readouterr().err.startswith(EXAMPLES)
    assert main(["judge", "--help"]) == 0
    assert EXAMPLES in capsys.readouterr().out
    for command in re.findall(r"slimgate (judge .*)", EXAMPLES):
        assert list_subcommands()["judge"][0].parse_args(command.split()[1:]).drop_points == [2.0]


def test_python_m_slimgate_is_the_command() -> None:
    command = [sys.executable, "-m", "slimgate", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"slimgate {__version__}\n"


@pytest.mark.parametrize("name", HELPS)
def test_a_help_text_is_an_imperative_or_a_noun_phrase(name: str) -> None:
    text = HELPS[name]
    assert text[0].isupper()
    assert not re.match(r"(Of|What|Where|How|Who|Why|Whether)\b", text)
    assert not text.endswith(".")
